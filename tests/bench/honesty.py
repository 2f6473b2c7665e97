# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether the service does all of its work while it is measured; a ratio without that is none.

Durability, the role that row-level security binds, policy and sealing are looked at before the
load, the log after it. Each function returns what is missing, in words.
"""

from __future__ import annotations

import os
import smtplib
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.load import RECIPIENT, SENDER, TEXT, compose
from tests.rig.service import Service, SignIn

DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
BOUND = """
SELECT rolsuper OR rolbypassrls OR NOT row_security_active('relay_message')
FROM pg_roles WHERE rolname = current_user
"""
SEALED = """
SELECT count(*), count(*) FILTER (WHERE position(%s::bytea IN ciphertext) > 0) FROM relay_content
"""
LOGGED = """
SELECT (SELECT count(*) FROM relay_message), (SELECT count(*) FROM relay_delivery
    WHERE state = 'delivered'), (SELECT count(*) FROM relay_attempt)
"""
STRANGER = "hej@fremmed.example"
Connection = psycopg.Connection[tuple[Any, ...]]


def before(service: Service) -> list[str]:
    """Look while only the submission server runs: what it takes must lie sealed."""
    missing = policy(service.sign_in)
    with psycopg.connect(service.environment["RELAY_DATABASE_URL"]) as relay:
        missing += durability(relay) + role(relay)
    with psycopg.connect(service.database_url()) as superuser:
        return missing + sealing(superuser)


def after(service: Service, messages: int) -> list[str]:
    """Look at what so many messages have left."""
    with psycopg.connect(service.database_url()) as superuser:
        return log(superuser, messages)


def durability(connection: Connection) -> list[str]:
    """What a commit on this connection is spared."""
    shown = {name: _one(connection, f"SHOW {name}")[0] for name in DURABLE}
    return [f"{name} is {value}" for name, value in shown.items() if value != "on"]


def role(connection: Connection) -> list[str]:
    return ["the role is not bound by row-level security"] * _one(connection, BOUND)[0]


def policy(sign_in: SignIn) -> list[str]:
    """Ask for what must be refused, and leave one message that is taken."""
    with smtplib.SMTP("127.0.0.1", sign_in.port, timeout=30) as client:
        client.ehlo("client.example")
        answers = {"a sender without sign-in": client.mail(SENDER)[0]}
        client.rset()
        client.login(sign_in.username, sign_in.password)
        answers["another's domain"] = client.mail(STRANGER)[0]
        client.rset()
        client.sendmail(SENDER, [RECIPIENT], compose("honest@bench.example", 4096)[:-3])
    return [f"{what} is taken" for what, code in answers.items() if code < 500]


def sealing(connection: Connection) -> list[str]:
    rows, readable = _one(connection, SEALED, [TEXT[:64]])
    return ["no content to look at"] * (rows == 0) + ["content is not sealed"] * (readable > 0)


def log(connection: Connection, messages: int) -> list[str]:
    names = ("messages", "deliveries", "attempts")
    found = dict(zip(names, _one(connection, LOGGED), strict=True))
    return [f"the log has {count} {name}" for name, count in found.items() if count < messages]


def disks(ours: Path, theirs: Path) -> list[str]:
    same = os.stat(ours).st_dev == os.stat(theirs).st_dev
    return [] if same else ["the reference's queue lies on another file system"]


def _one(connection: Connection, sql: str, values: list[Any] | None = None) -> tuple[Any, ...]:
    row = connection.execute(sql, values).fetchone()
    assert row is not None
    return row
