# SPDX-License-Identifier: AGPL-3.0-or-later
"""Migration operations that give the runtime roles what they need on a table, and nothing more.

Policies are ENABLEd, never FORCEd: no runtime role owns a table, and FORCE would break migrations.
There is one policy per role and table; a second one TO web would be OR-ed and cost the index.
"""

from __future__ import annotations

from django.db.migrations import RunSQL

from accounts.database import DUTY, RELAY, STAFF, WEB

CURRENT_ORGANISATION = "nullif(current_setting('app.organisation', true), '')::uuid"
CURRENT_PERSON = "nullif(current_setting('app.person', true), '')::uuid"
TENANT_ROWS = f"organisation_id = {CURRENT_ORGANISATION}"


class Grant(RunSQL):
    """Privileges on a table that holds nothing of a tenant; values such as "SELECT, INSERT"."""

    def __init__(self, table: str, **privileges: str) -> None:
        super().__init__(";\n".join(_grants(table, privileges)), RunSQL.noop)


class Protect(RunSQL):
    """Row-level security and privileges on a tenant's table.

    `web_rows` is the SQL condition of the rows web may see, `web_writes` of those it may write
    (the same when absent). The other roles named in `privileges` see every row.
    """

    def __init__(
        self, table: str, *, web_rows: str = TENANT_ROWS, web_writes: str = "", **privileges: str
    ) -> None:
        statements = [f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"]
        for role in privileges:
            rows, writes = (web_rows, web_writes or web_rows) if role == WEB else ("true", "true")
            statements.append(
                f"CREATE POLICY {table}_{role} ON {table} TO {_checked(role)} "
                f"USING ({rows}) WITH CHECK ({writes})"
            )
        super().__init__(";\n".join(statements + _grants(table, privileges)), RunSQL.noop)


def _grants(table: str, privileges: dict[str, str]) -> list[str]:
    return [f"GRANT {what} ON {table} TO {_checked(role)}" for role, what in privileges.items()]


def _checked(role: str) -> str:
    if role not in (WEB, STAFF, RELAY, DUTY):
        raise ValueError(f"{role} is not a runtime role")
    return role
