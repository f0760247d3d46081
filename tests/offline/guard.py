"""No test leaves this machine: connections and look-ups of names go to loopback or fail at once."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

INTERNET = (socket.AF_INET, socket.AF_INET6)


class LeftTheMachineError(ConnectionRefusedError):
    """A test tried to reach another machine."""


def check(host: Any) -> None:
    """Raise for anything but loopback."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        if ipaddress.ip_address(str(name).split("%")[0]).is_loopback:
            return
    except ValueError:
        pass  # a name: only `localhost` is known to stay here
    raise LeftTheMachineError(f"tests stay on this machine; refused: {name}")


def install() -> dict[str, Any]:
    """Guard this process; returns what was there before, for `remove`."""
    before = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    look_up = socket.getaddrinfo

    def guarded(name: str) -> Any:
        call = before[name]

        def method(self: socket.socket, *arguments: Any) -> Any:
            if self.family in INTERNET:
                check(arguments[-1][0])  # the address is the last argument of all three
            return call(self, *arguments)

        return method

    def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        check(host)
        return look_up(host, *arguments, **named)

    for name in before:
        setattr(socket.socket, name, guarded(name))
    socket.getaddrinfo = getaddrinfo
    return {**before, "getaddrinfo": look_up}


def remove(before: dict[str, Any]) -> None:
    """Undo `install`."""
    for name, call in before.items():
        setattr(socket if name == "getaddrinfo" else socket.socket, name, call)
