"""How fast the embedded Hub takes and gives a large file, beside what the disk itself does in the same minutes.

The yardstick is a plain copy of the file that hashes it on the way and flushes it to the disk: the least any store of
content-addressed files has to do. Each transfer is made by the official client in a process of its own, over both
transports, and counts from the call to its return (for an upload that includes the commit).

    python benchmarks/hub_throughput.py [--quick] [--format human|json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from solo_hub.hub.server.processes import find_or_start, running, stop

GOAL = 0.1  # of the plain copy in the slowest case: the client itself chunks, compresses and hashes the file as well
CHUNK = 1024 * 1024

CLIENT = """
import hashlib, json, sys, time
from huggingface_hub import HfApi, hf_hub_download
what, repo, path = sys.argv[1:4]
api = HfApi()
if what == "upload":
    api.create_repo(repo, exist_ok=True)
    start = time.perf_counter()
    api.upload_file(path_or_fileobj=path, path_in_repo="large.bin", repo_id=repo)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds}))
else:
    start = time.perf_counter()
    got = hf_hub_download(repo, "large.bin")
    seconds = time.perf_counter() - start
    with open(got, "rb") as file:
        print(json.dumps({"seconds": seconds, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}))
"""


def copy_with_hash(source: Path, target: Path) -> tuple[float, str]:
    """Copy a file as a store has to, and say how long it took."""
    start = time.perf_counter()
    hasher = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as write:
        while data := read.read(CHUNK):
            hasher.update(data)
            write.write(data)
        write.flush()
        os.fsync(write.fileno())
    return time.perf_counter() - start, hasher.hexdigest()


def transfer(what: str, repo: str, path: Path, env: dict[str, str]) -> dict[str, Any]:
    """One upload or download by a client process."""
    words = [sys.executable, "-c", CLIENT, what, repo, str(path)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise SystemExit(f"The {what} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def peak_memory(pid: int) -> float | None:
    """Most megabytes the server ever held, where the system tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def measure(megabytes: int, rounds: int) -> dict[str, Any]:
    """All cases, each ``rounds`` times on fresh content; medians."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["SOLO_HUB_HOME"] = str(place / "home")
        hub = find_or_start(place / "root")
        state = running(place / "root") or {}
        before = peak_memory(int(state["pid"]))
        try:
            for turn in range(rounds):
                for kind in ("xet", "lfs"):
                    source = place / "large.bin"
                    with source.open("wb") as file:
                        for _ in range(megabytes):  # no transport can find anything to leave out
                            file.write(os.urandom(1_000_000))
                    spent, sha256 = copy_with_hash(source, place / "copy.bin")
                    seconds.setdefault("copy", []).append(spent)
                    env = {**os.environ, **hub.env(), "HF_HOME": str(place / f"hf-{turn}-{kind}")}
                    if kind == "lfs":
                        env["HF_HUB_DISABLE_XET"] = "1"
                    repo = f"{hub.user}/{kind}-{turn}"
                    seconds.setdefault(f"upload {kind}", []).append(transfer("upload", repo, source, env)["seconds"])
                    got = transfer("download", repo, source, env)
                    if got["sha256"] != sha256:
                        raise SystemExit("What came back is not what was sent.")
                    seconds.setdefault(f"download {kind}", []).append(got["seconds"])
            memory = peak_memory(int(state["pid"]))
        finally:
            stop(place / "root")
    copy = statistics.median(seconds["copy"])
    table = []
    for case, times in sorted(seconds.items()):
        median = statistics.median(times)
        table.append(
            {
                "case": case,
                "seconds": round(median, 3),
                "MB/s": round(megabytes / median, 1),
                "of the copy": round(copy / median, 3),
            }
        )
    return {
        "claim": "The embedded Hub moves a large file at a fair part of the disk's own speed, in bounded memory.",
        "value": min(row["of the copy"] for row in table if row["case"] != "copy"),
        "unit": "speed of the slowest transfer, as a fraction of a plain copy with hashing",
        "goal": GOAL,
        "conditions": {
            "megabytes": megabytes,
            "rounds": rounds,
            "server_peak_rss_mb": memory,
            "server_rss_before_mb": before,
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "table": table,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Throughput of the embedded Hub beside a plain copy.")
    parser.add_argument("--quick", action="store_true", help="30 MB once instead of 300 MB three times")
    parser.add_argument("--format", choices=["human", "json"], default="human")
    options = parser.parse_args()
    result = measure(30, 1) if options.quick else measure(300, 3)
    if options.format == "json":
        print(json.dumps(result, indent=2))
        return
    print(f"{'case':<14}{'seconds':>9}{'MB/s':>9}{'of the copy':>13}")
    for row in result["table"]:
        print(f"{row['case']:<14}{row['seconds']:>9.3f}{row['MB/s']:>9.1f}{row['of the copy']:>13.2f}")
    print(f"\nslowest transfer: {result['value']:.2f} of a plain copy with hashing (goal {GOAL})")
    print(", ".join(f"{key} {value}" for key, value in result["conditions"].items()))


if __name__ == "__main__":
    main()
