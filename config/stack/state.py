# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the launcher remembers between starts: ports and generated secrets, in one 0600 file."""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

# Below the ephemeral range of Linux (32768), so that no outgoing connection sits on a kept port.
FIRST_PORT, LAST_PORT = 15_000, 30_000


class State:
    """A small dictionary on disk; every change is written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def secret(self, name: str) -> str:
        """A generated secret of 256 bits, the same at every start. Safe inside URLs and SQL."""
        return str(self._keep(name, secrets.token_hex(32)))

    def kept_port(self, name: str) -> int:
        """The port of the last start; 0 before the first."""
        return int(self._values.get(name, 0))

    def port(self, name: str) -> int:
        """The loopback port kept under this name; another one when a stranger took it."""
        kept = self._values.get(name)
        if kept is None or not port_is_free(kept):
            self._values[name] = free_port()
            self._write()
        return int(self._values[name])

    def _keep(self, name: str, fresh: Any) -> Any:
        if name not in self._values:
            self._values[name] = fresh
            self._write()
        return self._values[name]

    def _write(self) -> None:
        write_private(self.path, json.dumps(self._values, indent=1, sort_keys=True) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A listener in TIME_WAIT is no obstacle to the engines, so none to the probe.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if port_is_free(port):
            return port
