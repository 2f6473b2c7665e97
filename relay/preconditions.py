# SPDX-License-Identifier: AGPL-3.0-or-later
"""What must be true of the database before a process may promise to keep mail."""

from __future__ import annotations

import psycopg


class Unsafe(Exception):
    """The process must not start; the text says what to change."""


FACTS = """
SELECT current_setting('fsync'), current_setting('synchronous_commit'),
    r.rolsuper, r.rolbypassrls,
    EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p')),
    r.rolname
FROM pg_roles r WHERE r.rolname = current_user
"""


async def require_safe_database(dsn: str) -> None:
    """Raises Unsafe, and psycopg.Error when the database does not answer.

    With fsync or synchronous_commit off a commit is no promise; a superuser, an owner of tables or
    a role with BYPASSRLS sees every organisation's rows.
    """
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        cursor = await connection.execute(FACTS)
        row = await cursor.fetchone()
    assert row is not None
    fsync, synchronous_commit, superuser, bypass, owner, role = row
    if fsync == "off" or synchronous_commit == "off":
        raise Unsafe("fsync and synchronous_commit must be on: without them a commit can be lost")
    if superuser or bypass or owner:
        raise Unsafe(
            f"the database role {role} is a superuser, owns tables or has BYPASSRLS; "
            "connect as the role relay (RELAY_DATABASE_URL)"
        )
