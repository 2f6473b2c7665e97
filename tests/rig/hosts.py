# SPDX-License-Identifier: AGPL-3.0-or-later
"""One more host, as far as a single machine can have two: files and settings of its own.

A host has a copy of the code in a working directory of its own, and an environment that is put
together anew. From the first host it is given the database, Redis and the keys, and nothing else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.stack.environment import development_settings, private_places
from config.stack.places import ROOT
from config.stack.processes import MARK, process_environment
from config.stack.state import State, free_port

CODE = ("accounts", "config", "dpa", "gdpr", "relay", "templates", "static", "manage.py")
# What hosts share: one database with its roles, one Redis, one vault, one keyring.
SHARED = (
    "DATABASE_URL",
    "WEB_DATABASE_URL",
    "RELAY_DATABASE_URL",
    "DUTY_DATABASE_URL",
    "REDIS_URL",
    "VAULT_URL",
    "KEYRING_URL",
)
# What is written down for all of them alike; the first says how many shifts they work together.
ALIKE = (
    "RELAY_SHIFTS",
    "RELAY_ALLOW_PLAINTEXT_AUTH",
    "RELAY_EGRESS_LOOPBACK_PORTS",
    "RELAY_RESOLVER",
    # Of a storm: who plants faults, and how far off the time is.
    "PYTHONPATH",
    "STORM_FAULTS",
    "TEST_CLOCK_FILE",
)
# Of the machine, not of the service.
MACHINE = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Host:
    """Where the processes of one host run, and in which environment."""

    name: str
    directory: Path
    environment: Mapping[str, str]

    @property
    def smtp_port(self) -> int:
        return int(self.environment["SMTP_PORT"])


def another_host(name: str, home: Path, first: Mapping[str, str]) -> Host:
    """Make a host below `home` that shares with `first`, an environment, what hosts share."""
    directory = home / name
    for part in CODE:
        _copy(ROOT / part, directory / part)
    return Host(name, directory, _environment(directory / "private", first))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _environment(private: Path, first: Mapping[str, str]) -> dict[str, str]:
    names = ("WEB_PORT", "SMTP_PORT", "SMTPS_PORT", "BOUNCE_PORT", "MAILBOX_PORT")
    own = {name: os.environ[name] for name in MACHINE if name in os.environ}
    own |= development_settings({name: free_port() for name in names})
    private.parent.mkdir(parents=True, exist_ok=True)
    own |= private_places(private, State(private.parent / "state.json"), {})
    own |= {"RELAY_HOSTNAME": f"{private.parent.name}.localhost"}
    own |= {name: first[name] for name in (*SHARED, *ALIKE) if name in first}
    return {n: v for n, v in process_environment(own).items() if n != MARK}
