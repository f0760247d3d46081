"""The official JavaScript client (npm package `@huggingface/hub`), unmodified; installed inside the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from solo_hub.hub.server import EmbeddedHub

pytestmark = pytest.mark.soak  # it asks a package registry

VERSION = "^2.17"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with the client in it."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"@huggingface/hub@{VERSION}"]
    try:
        # tests have no network; the proxy that is not there stays behind
        clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm cannot reach a registry")
    if done.returncode:
        pytest.skip(f"npm cannot install the client: {done.stderr.strip()[-300:]}")
    return folder


def test_basic_calls(package, tmp_path):
    shutil.copy(Path(__file__).with_name("javascript_client.mjs"), package)
    # the client refuses tokens that do not begin as the real Hub's do
    with EmbeddedHub(tmp_path, users=[{"name": "ana", "token": "hf_of_ana"}], remember=False) as hub:
        done = subprocess.run(
            [shutil.which("node"), "javascript_client.mjs"], cwd=package, env={**os.environ, **hub.env()},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(done.stdout)
    assert facts["uploads"] == {"xet.bin": ["api", "ana", "xet"], "lfs.bin": ["api", "ana", "lfs"]}
    assert facts["commits"] == 6
