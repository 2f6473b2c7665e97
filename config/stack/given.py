# SPDX-License-Identifier: AGPL-3.0-or-later
"""A database server that the environment names: what must be set besides DATABASE_URL."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from accounts.database import LOGIN_ROLES, OWNER, roles_sql
from config.stack.failure import StackError


def require_roles(environment: Mapping[str, str]) -> None:
    """Raises StackError with the SQL that makes the roles when only the owner's URL is set."""
    owner = environment.get("DATABASE_URL")
    names = {role: f"{role.upper()}_DATABASE_URL" for role in LOGIN_ROLES if role != OWNER}
    if not owner or all(environment.get(name) for name in names.values()):
        return
    server = urlsplit(owner)
    place = f"{server.hostname or 'localhost'}:{server.port or 5432}{server.path}"
    passwords = {role: secrets.token_hex(32) for role in names}
    urls = [f"{name}=postgresql://{r}:{passwords[r]}@{place}" for r, name in names.items()]
    raise StackError(
        "DATABASE_URL is set, but each kind of process needs a role of its own.\n"
        "Run this with psql as a superuser of that server:\n\n"
        f"{roles_sql(passwords, server.path.lstrip('/'))}\n"
        "and put this into .env:\n\n" + "\n".join(urls)
    )
