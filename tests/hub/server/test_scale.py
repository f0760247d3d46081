"""Many files and large files in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from solo_hub.hub.server.processes import find_or_start, running, stop

CLIENT = """
import hashlib, pathlib, random, sys
from huggingface_hub import HfApi, snapshot_download
api = HfApi()
many, megabytes = int(sys.argv[1]), int(sys.argv[2])
repo = api.create_repo("local/scale").repo_id
folder = pathlib.Path("up")
for n in range(many):
    path = folder / f"{n % 20}" / f"{n}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"file {n}")
block = random.Random(0).randbytes(1_000_000)
with open(folder / "large.bin", "wb") as file:
    for n in range(megabytes):
        file.write(n.to_bytes(8, "little") + block[8:])
api.upload_folder(repo_id=repo, folder_path=folder)
assert sum(1 for _ in api.list_repo_tree(repo, recursive=True)) == many + 2 + min(many, 20)
got = pathlib.Path(snapshot_download(repo))
assert (got / "7" / "7.txt").read_text() == "file 7"
digests = []
for place in (got, folder):
    with open(place / "large.bin", "rb") as file:
        digests.append(hashlib.file_digest(file, "sha256").hexdigest())
assert digests[0] == digests[1]
"""


def peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
@pytest.mark.parametrize(
    ("many", "megabytes"), [(200, 30), pytest.param(10_000, 300, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])]
)
def test_many_and_large_files_in_bounded_memory(tmp_path, monkeypatch, many, megabytes, xet, say):
    monkeypatch.setenv("SOLO_HUB_HOME", str(tmp_path / "home"))
    root = tmp_path / "root"
    hub = find_or_start(root)
    try:
        pid = running(root)["pid"]
        before = peak_megabytes(pid)
        env = {**os.environ, **hub.env(), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        if not xet:
            env["HF_HUB_DISABLE_XET"] = "1"
        words = [sys.executable, "-c", CLIENT, str(many), str(megabytes)]
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=1000, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        after = peak_megabytes(pid)
    finally:
        stop(root)
    say(f"{many} files and one of {megabytes} MB: peak memory of the server {after:.0f} MB (idle {before:.0f} MB)")
    assert after < 400
