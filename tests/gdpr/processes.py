# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a program of its own process needs to work on the database of the test that starts it."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

PLACES = (
    "VAULT_URL",
    "ERASURE_JOURNAL",
    "AUDIT_ANCHORS",
    "REDIS_URL",
    "SEAL_KEYS_URL",
    "PACKAGES",
    "TEST_CLOCK_FILE",
)


def at(role: str, database: str) -> str:
    """The address of a database of the test's own server, for a role."""
    variable = settings.DATABASE_VARIABLES[role]
    return urlunsplit(urlsplit(os.environ[variable])._replace(path=f"/{database}"))


def here() -> str:
    """The name of the test's database."""
    return str(connection.settings_dict["NAME"])


def environment(database: str) -> dict[str, str]:
    """The environment of a worker on a database, with the test's keys and places."""
    places = {name: str(getattr(settings, name)) for name in PLACES}
    return {
        **os.environ,
        **places,
        "DATABASE_ROLE": "duty",
        "DUTY_DATABASE_URL": at("duty", database),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
