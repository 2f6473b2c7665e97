# SPDX-License-Identifier: AGPL-3.0-or-later
"""A server that the environment names."""

from __future__ import annotations

import re

import pytest

from config.stack.failure import StackError
from config.stack.given import require_roles

OWNER = {"DATABASE_URL": "postgresql://owner:secret@db.example:5433/brevdue"}
ROLES = ("WEB", "RELAY", "DUTY", "BACKUP")


def test_embedded_server_and_a_full_set_of_urls_need_nothing():
    require_roles({})
    require_roles(OWNER | {f"{role}_DATABASE_URL": "postgresql://x" for role in ROLES})


def test_owner_alone_is_told_the_sql_and_the_urls_that_fit_it():
    with pytest.raises(StackError) as told:
        require_roles(OWNER)
    words = str(told.value)
    assert "secret@" not in words
    for role in ROLES:
        url = re.search(rf"{role}_DATABASE_URL=postgresql://{role.lower()}:(\w+)@(\S+)", words)
        assert url
        assert url[2] == "db.example:5433/brevdue"
        assert f'ALTER ROLE "{role.lower()}"' in words
        assert f"PASSWORD '{url[1]}'" in words
