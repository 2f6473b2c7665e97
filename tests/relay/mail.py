# SPDX-License-Identifier: AGPL-3.0-or-later
"""Builders for tests of the queue: committed organisations, messages, and looks at the tables."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection

from accounts import vault
from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation, OrganisationKey
from relay.queue import Accepted, Sealer, Store, StoreUnavailable, keyring_directory
from relay.smtp.envelope import Envelope, Recipient
from tests import build

Result = TypeVar("Result")

CONTENT = b"Subject: hej\r\n\r\nGrus og guld.\r\n"


def dsn(role: str = "relay") -> str:
    """Return how to log in to the test database as a real role, or as the tables' owner."""
    url = os.environ["DATABASE_URL" if role == "owner" else f"{role.upper()}_DATABASE_URL"]
    name = settings.DATABASES["default"]["NAME"]
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def sealer() -> Sealer:
    return Sealer(keyring_directory())


def now() -> datetime:
    return datetime.now(UTC)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run with a bound, so that a lost wake-up fails instead of hanging."""
    return asyncio.run(asyncio.wait_for(coroutine, 110))


def organisation(name: str = "Duehuset ApS", **fields: Any) -> Organisation:
    """An organisation that may send and has a key."""
    made = build.organisation(name, **fields)
    with_key(made)
    return made


def with_key(organisation: Organisation) -> None:
    """Give an organisation the key that seals what is its own."""
    with build.as_owner():
        OrganisationKey.objects.get_or_create(
            organisation=organisation,
            defaults={
                "sealed": vault.new_organisation_key(organisation.id),
                "created_at": build.NOW,
            },
        )


def message(
    organisation_id: UUID,
    *recipients: str,
    sender: str = "Post@due.example",
    content: bytes = CONTENT,
    ago: timedelta = timedelta(),
    notify: str = "",
    author_domain: str = "",
    is_sandbox: bool = False,
) -> Accepted:
    identifier = uuid7(now() - ago)
    return Accepted(
        id=identifier,
        accepted_at=uuid7_time(identifier),
        organisation_id=organisation_id,
        credential_id=None,
        is_sandbox=is_sandbox,
        envelope=Envelope(
            sender=sender,
            recipients=tuple(
                Recipient(address, notify) for address in recipients or ("Erik@modtager.example",)
            ),
        ),
        content=content,
        author_domain=author_domain,
        tls_version="TLSv1.3",
        tls_cipher="TLS_AES_256_GCM_SHA384",
    )


def rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Read as the owner of the tables."""
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def execute(sql: str, *parameters: Any) -> None:
    """Write as the owner of the tables."""
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def value(sql: str, *parameters: Any) -> Any:
    ((found,),) = rows(sql, *parameters)
    return found


async def session(role: str = "relay") -> psycopg.AsyncConnection[Any]:
    """A second session of a role, for races."""
    return await psycopg.AsyncConnection.connect(dsn(role), autocommit=True)


def notice(organisation_id: UUID) -> Accepted:
    """A notification to the sender, as the shift makes them."""
    made = message(organisation_id, "post@due.example", sender="", notify="NEVER")
    return replace(made, is_notification=True)


async def keep(*messages: Accepted) -> None:
    """Store messages as the SMTP process does, however slowly a busy machine connects."""
    store = Store(dsn(), sealer(), now)
    await store.start()
    try:
        await asyncio.gather(*(_keep(store, message) for message in messages))
    finally:
        await store.stop()


async def _keep(store: Store, message: Accepted) -> None:
    while True:
        try:
            return await store.store(message)
        except StoreUnavailable as fault:
            # Without a connection nothing was written.
            if str(fault) != "ConnectionTimeout":
                raise
