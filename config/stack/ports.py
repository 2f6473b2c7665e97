# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ports people see: their settings, their defaults, and who stands in the way.

Standard library only: the first look comes before anything is installed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from config.stack.failure import StackError
from config.stack.places import ROOT
from config.stack.state import port_is_free

# Setting: (what listens there, default).
PORTS = {
    "WEB_PORT": ("the portal", 8000),
    "SMTP_PORT": ("the SMTP server with STARTTLS", 2525),
    "SMTPS_PORT": ("the SMTP server with implicit TLS", 4650),
    "BOUNCE_PORT": ("the listener for returned mail", 2526),
    "MAILBOX_PORT": ("the development mailbox", 1025),
}


def chosen_ports(environment: Mapping[str, str]) -> dict[str, int]:
    """The port of each setting; raises StackError for a value that is no port, or two alike."""
    ports = {
        name: _number(name, environment.get(name) or default)
        for name, (_, default) in PORTS.items()
    }
    for name, port in ports.items():
        twins = [other for other in ports if ports[other] == port and other != name]
        if twins:
            raise StackError(f"{name} and {twins[0]} are both {port}. Give each a port of its own.")
    return ports


def _number(name: str, value: str | int) -> int:
    try:
        port = int(value)
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise StackError(f"{name}={value!r} is no port. Give a number from 1 to 65535.")
    return port


def require_free(ports: Mapping[str, int]) -> None:
    """Raises StackError that names every busy port and the setting that moves it."""
    busy = [name for name, port in ports.items() if not port_is_free(port)]
    if busy:
        lines = [
            f"  {ports[name]}, wanted by {PORTS[name][0]}: move it with {name}=..." for name in busy
        ]
        raise StackError(
            "Something else already listens on\n" + "\n".join(lines) + "\n"
            f"For example: make run {busy[0]}={ports[busy[0]] + 1}"
        )


def first_look(environment: Mapping[str, str], root: Path = ROOT) -> int:
    """Name busy ports before the first installation, which is slow; returns an exit status.

    Where a stack has run before, what it left behind may hold them: the launcher looks then.
    """
    if (root / "var" / "state.json").exists():
        return 0
    try:
        require_free(chosen_ports({**_in_dot_env(root / ".env"), **environment}))
    except StackError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


def _in_dot_env(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    pattern = re.compile(rf"(?:export )?({'|'.join(PORTS)})=[\"']?([^\"'#\s]*)")
    return {found[1]: found[2] for line in lines if (found := pattern.match(line))}


if __name__ == "__main__":
    sys.exit(first_look(os.environ))
