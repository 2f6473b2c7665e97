# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each process is given the one database login that it needs, hour keys only where mail is, and
the level of its log from LOG_LEVEL alone."""

from __future__ import annotations

import re

import pytest
from honcho.environ import parse_procfile

from config.settings import BASE_DIR, DATABASE_VARIABLES, DOWNLOADS_AT_ONCE
from config.stack import processes

COMMANDS = {
    **parse_procfile((BASE_DIR / "Procfile").read_text()).processes,
    "mailbox": processes.MAILBOX,
}
ROLES = {"web": "web", "smtp": "relay", "delivery": "relay", "worker": "duty"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_process_gets_its_own_login_alone(name: str) -> None:
    given = dict(re.findall(r"([A-Z_]+)=(\S*)", COMMANDS[name]))
    role = ROLES.get(name, "none")
    assert given["DATABASE_ROLE"] == role
    others = set(DATABASE_VARIABLES.values()) - {DATABASE_VARIABLES.get(role)}
    assert {variable for variable, value in given.items() if not value} >= others
    assert ("KEYRING_URL" in given) == (role != "relay")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_process_has_no_log_level_of_its_own(name: str) -> None:
    levels = re.findall(r"--?(?:log-?level|l)[ =](\S+)", COMMANDS[name])
    # What gunicorn itself says never passes through the settings, so it is told.
    assert levels == (["${LOG_LEVEL:-INFO}"] if name == "web" else [])


def test_downloads_leave_half_of_the_threads() -> None:
    (threads,) = re.findall(r" --threads (\d+)", COMMANDS["web"])
    assert int(threads) == DOWNLOADS_AT_ONCE * 2


@pytest.mark.parametrize("name", ["delivery", "worker"])
def test_node_name_is_the_process_s_own(name: str) -> None:
    """Two workers of one name on one host would take each other's orders (celery: nodenames)."""
    (node,) = re.findall(r" -n (\S+)", COMMANDS[name])
    assert node == f"{name}-$$@%h"
