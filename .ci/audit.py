"""Known vulnerabilities of what is installed, by pip-audit; says plainly when nothing could be looked up.

Exit code 1 for a vulnerability; 0 for none, and also where the service cannot be reached: that is told, not hidden.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> int:
    """Ask pip-audit and count."""
    line = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json", "--timeout", "15"]
    asked = subprocess.run(line, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        told = asked.stderr.strip().splitlines()
        return say(
            f"NOT AUDITED: the vulnerability service could not be asked ({told[-1] if told else 'no answer'}).", 0
        )
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        return say(f"NOT AUDITED: the vulnerability service knows none of the {len(packages)} packages.", 0)
    found = [(package, wrong) for package in audited for wrong in package["vulns"]]
    for package, wrong in found:
        fixed = ", ".join(wrong["fix_versions"]) or "no version yet"
        say(f"{package['name']} {package['version']}: {wrong['id']}; fixed in {fixed}.", 1)
    return say(f"{len(audited)} of {len(packages)} packages audited, {len(found)} vulnerabilities.", 1 if found else 0)


def say(text: str, code: int) -> int:
    """Print a line and pass the exit code on."""
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
