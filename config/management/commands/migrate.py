# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from accounts.database import LOGIN_ROLES, OWNER, RUNTIME_ROLES, roles_sql


class Command(migrate.Command):
    """Django's, on a server that has the database roles; without them it says how to make them."""

    def handle(self, *args: Any, **options: Any) -> None:
        missing = _missing_roles(options["database"])
        if missing:
            raise CommandError(_advice(options["database"], missing))
        super().handle(*args, **options)


def _missing_roles(alias: str) -> list[str]:
    wanted = {*LOGIN_ROLES, *RUNTIME_ROLES}
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT rolname::text FROM pg_roles WHERE rolname = ANY(%s)", [list(wanted)])
        return sorted(wanted - {name for (name,) in cursor.fetchall()})


def _advice(alias: str, missing: list[str]) -> str:
    passwords = {role: secrets.token_hex(32) for role in LOGIN_ROLES if role != OWNER}
    script = roles_sql(passwords, str(connections[alias].settings_dict["NAME"]))
    return (
        f"Nothing was changed: the server lacks the roles {', '.join(missing)}.\n"
        "Run this with psql as a superuser of that server, give each process the URL of its role\n"
        f"(.env.example names them), and migrate again.\n\n{script}"
    )
