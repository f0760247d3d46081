"""The guard that keeps all other tests on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from guard import LeftTheMachineError

ELSEWHERE = "192.0.2.1"  # reserved for documentation (RFC 5737): nobody is there


@pytest.mark.parametrize("host", [ELSEWHERE, "huggingface.co", "2001:db8::1"])
def test_no_connection_leaves_this_process(host):
    with pytest.raises(LeftTheMachineError, match=host):
        socket.create_connection((host, 443), timeout=1)


def test_no_packet_leaves_this_process():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(LeftTheMachineError):
        udp.sendto(b"hello", (ELSEWHERE, 53))


def test_no_connection_leaves_a_child_process():
    script = f"import socket; socket.create_connection(({ELSEWHERE!r}, 443), timeout=1)"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert "tests stay on this machine" in child.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_open(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
