# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waiting until the processes answer."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from config.stack.children import wait_until
from config.stack.failure import StackError

SECONDS = 60.0


def wait_until_ready(ports: Mapping[str, int], ended: Callable[[], bool]) -> None:
    """Returns when all answer, or when a process ended; else raises StackError with their names."""
    waiting = list(ports)

    def look() -> bool:
        waiting[:] = [name for name in waiting if not _answers(name, ports[name])]
        return not waiting or ended()

    wait_until(look, SECONDS, every=0.1)
    if waiting and not ended():
        raise StackError(f"No answer at {', '.join(f'{n}={ports[n]}' for n in waiting)}.")


def _answers(name: str, port: int) -> bool:
    if name == "WEB_PORT":
        return _web_is_ready(port)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            # Implicit TLS says nothing until the client does; the others greet with 220.
            return name == "SMTPS_PORT" or connection.recv(3) == b"220"
    except OSError:
        return False


def _web_is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
