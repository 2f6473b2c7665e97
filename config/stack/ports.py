# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ports people see: their settings, their defaults, and who stands in the way."""

from __future__ import annotations

from collections.abc import Mapping

from config.stack.failure import StackError
from config.stack.state import port_is_free

# Setting: (what listens there, default).
PORTS = {
    "WEB_PORT": ("the portal", 8000),
    "SMTP_PORT": ("the SMTP server with STARTTLS", 2525),
    "SMTPS_PORT": ("the SMTP server with implicit TLS", 4650),
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
