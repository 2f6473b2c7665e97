# SPDX-License-Identifier: AGPL-3.0-or-later
"""The database roles: who connects as what. SQL text without Django, so that a launcher can use it.

Row-level security only proves something when no process owns what it reads, so every process has
a role of its own and none of them connects as the owner of the tables.
"""

from __future__ import annotations

OWNER = "owner"
WEB = "web"
STAFF = "staff"
RELAY = "relay"
DUTY = "duty"
BACKUP = "backup"

LOGIN_ROLES = (OWNER, WEB, RELAY, DUTY, BACKUP)
RUNTIME_ROLES = (WEB, STAFF, RELAY, DUTY)

# NOINHERIT keeps staff's policies away from web until `SET LOCAL ROLE staff`.
_ATTRIBUTES = {
    OWNER: "LOGIN NOSUPERUSER NOCREATEROLE",
    WEB: "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOINHERIT",
    STAFF: "NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB",
    RELAY: "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB",
    DUTY: "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB",
    BACKUP: "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB BYPASSRLS",
}


def roles_sql(
    passwords: dict[str, str], database: str, *, may_create_databases: bool = False
) -> str:
    """Return the psql script that makes roles and database; harmless when they exist already.

    `passwords` has a clear password for each of LOGIN_ROLES. Needs a superuser and psql.
    `may_create_databases` is for development: the test runner makes a database of its own.
    """
    lines = [_role_sql(role, passwords.get(role, "")) for role in _ATTRIBUTES]
    if may_create_databases:
        lines.append(f"ALTER ROLE {_name(OWNER)} CREATEDB;")
    lines.append(f"GRANT {_name(STAFF)} TO {_name(WEB)};")
    lines += [f"GRANT {_name(role)} TO {_name(OWNER)};" for role in RUNTIME_ROLES]
    lines.append(f"GRANT pg_read_all_data TO {_name(BACKUP)};")
    lines.append(_database_sql(database))
    return "\n".join(lines) + "\n"


def _role_sql(role: str, password: str) -> str:
    create = (
        f"SELECT 'CREATE ROLE {_name(role)}' WHERE NOT EXISTS "
        f"(SELECT FROM pg_roles WHERE rolname = {_literal(role)})\\gexec"
    )
    secret = f" PASSWORD {_literal(password)}" if password else ""
    return f"{create}\nALTER ROLE {_name(role)} {_ATTRIBUTES[role]}{secret};"


def _database_sql(database: str) -> str:
    create = (
        f"CREATE DATABASE {_name(database)} OWNER {_name(OWNER)} ENCODING 'UTF8' TEMPLATE template0"
    )
    return (
        f"SELECT {_literal(create)} WHERE NOT EXISTS "
        f"(SELECT FROM pg_database WHERE datname = {_literal(database)})\\gexec\n"
        f"REVOKE ALL ON DATABASE {_name(database)} FROM PUBLIC;\n"
        f"GRANT CONNECT ON DATABASE {_name(database)} TO "
        + ", ".join(_name(role) for role in LOGIN_ROLES)
        + ";"
    )


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
