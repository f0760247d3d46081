"""huggingface_hub of before 2.0: it learns from the answer to its LFS batch whether to upload through Xet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from solo_hub.hub.server import EmbeddedHub

pytestmark = pytest.mark.soak  # it asks a package registry

SCRIPT = """
import io, os, pathlib
import huggingface_hub
from huggingface_hub import HfApi, hf_hub_download
assert huggingface_hub.__version__.startswith("1."), huggingface_hub.__version__
api = HfApi()
repo = api.create_repo("ana/older").repo_id
folder = pathlib.Path("folder"); folder.mkdir()
weights = os.urandom(1_500_000)
(folder / "weights.bin").write_bytes(weights)
(folder / "README.md").write_text("---\\nlicense: mit\\n---\\n")
api.upload_folder(repo_id=repo, folder_path=folder)
api.upload_file(repo_id=repo, path_in_repo="stream.bin", path_or_fileobj=io.BytesIO(weights + b"x"))
entries = {each.path: each for each in api.get_paths_info(repo, ["weights.bin", "stream.bin"])}
assert entries["weights.bin"].xet_hash and entries["weights.bin"].lfs
assert entries["stream.bin"].lfs and not entries["stream.bin"].xet_hash  # a stream: this client does not offer Xet
assert open(hf_hub_download(repo, "weights.bin"), "rb").read() == weights
assert open(hf_hub_download(repo, "stream.bin"), "rb").read() == weights + b"x"
"""


def test_uploads_through_xet(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    # tests have no network; their guard and the proxy that is not there stay behind
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and name != "PYTHONPATH"}
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "huggingface-hub>=1.0,<1.15"]
    done = subprocess.run(install, env=clean, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot install the older client: {done.stderr.strip()[-300:]}")
    with EmbeddedHub(tmp_path / "hub", users=[{"name": "ana", "token": "hf_of_ana"}], remember=False) as hub:
        done = subprocess.run(
            [python, "-c", SCRIPT], cwd=tmp_path, env={**clean, **hub.env(), "HF_HOME": str(tmp_path / "hf")},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
