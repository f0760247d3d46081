"""Known vulnerabilities of what is installed, by pip-audit; says plainly when nothing could be looked up.

Exit code 0: all was looked up and there is none; 1: a vulnerability; 3: the service was not reached, or knows nothing
of what is installed. `--offline-ok`, for a machine without a network, makes 0 of 3, and says so in capitals.
"""

from __future__ import annotations

import json
import subprocess
import sys

NOT_AUDITED = 3
OFFLINE_OK = "--offline-ok"


def main(arguments: list[str]) -> int:
    """Ask pip-audit and count."""
    offline_ok = OFFLINE_OK in arguments
    line = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json", "--timeout", "15"]
    asked = subprocess.run(line, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        told = asked.stderr.strip().splitlines()
        last = told[-1] if told else "no answer"
        return not_audited(f"the vulnerability service could not be asked ({last})", offline_ok=offline_ok)
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        said = f"the vulnerability service knows none of the {len(packages)} packages"
        return not_audited(said, offline_ok=offline_ok)
    found = [(package, wrong) for package in audited for wrong in package["vulns"]]
    for package, wrong in found:
        fixed = ", ".join(wrong["fix_versions"]) or "no version yet"
        say(f"{package['name']} {package['version']}: {wrong['id']}; fixed in {fixed}.", 1)
    return say(f"{len(audited)} of {len(packages)} packages audited, {len(found)} vulnerabilities.", 1 if found else 0)


def not_audited(why: str, *, offline_ok: bool) -> int:
    """Say that nothing was looked up, so that nobody takes it for a clean result."""
    rest = f"{OFFLINE_OK} LETS IT PASS; NOTHING IS KNOWN OF VULNERABILITIES" if offline_ok else f"or pass {OFFLINE_OK}"
    return say(f"NOT AUDITED: {why}; {rest}.", 0 if offline_ok else NOT_AUDITED)


def say(text: str, code: int) -> int:
    """Print a line and pass the exit code on."""
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
