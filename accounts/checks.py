# SPDX-License-Identifier: AGPL-3.0-or-later
"""What must hold before a process serves anybody; `check --deploy` asks the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection

from accounts.passwords import PASSWORD_FLOOR_LENGTH

logger = logging.getLogger(__name__)

# Every connection's own role decides what row-level security hides from it.
ROLE = """
SELECT rolsuper OR rolbypassrls OR EXISTS (
    SELECT FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relowner = own.oid
)
FROM pg_roles AS own WHERE rolname = session_user
"""
# An acceptance that a crash can undo is none.
DURABILITY = """
SELECT name FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
ORDER BY name
"""


def unsafe_role() -> bool:
    """Return whether this process connects as superuser, table owner or past row security."""
    with connection.cursor() as cursor:
        cursor.execute(ROLE)
        return bool(cursor.fetchone()[0])


def unsafe_settings() -> list[str]:
    """Return the database settings that let a committed row be lost."""
    with connection.cursor() as cursor:
        cursor.execute(DURABILITY)
        return [name for (name,) in cursor.fetchall()]


def refuse_unsafe_database() -> None:
    """Call at the start of a process that serves. Raises ImproperlyConfigured.

    A database that is down says nothing about itself: the process starts and waits for it.
    """
    with suppress(OperationalError):
        if unsafe_role():
            raise ImproperlyConfigured(
                "the database role is a superuser, owns tables or has BYPASSRLS;"
                " connect as web, relay or duty"
            )
        if names := unsafe_settings():
            raise ImproperlyConfigured(f"must be on, or a commit can be lost: {', '.join(names)}")


# Leases of mail and of packages last a minute or more, by the clock of whoever looks: a host that
# is further ahead would take over what others still have in hand.
CLOCK_WARNING = timedelta(seconds=5)
CLOCK_MOST = timedelta(seconds=30)


def _own_clock() -> datetime:
    # Not accounts.clock: tests move that one for all processes, and never the database's.
    return datetime.now(UTC)


def clock_ahead(own: Callable[[], datetime] = _own_clock) -> timedelta:
    """Return how far this machine's clock is ahead of the database's; negative: behind it.

    Zero while the time that the question itself took leaves room for doubt.
    """
    connection.ensure_connection()
    before = own()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        there: datetime = cursor.fetchone()[0]
    return max(before - there, timedelta()) + min(own() - there, timedelta())


def refuse_wrong_clock(own: Callable[[], datetime] = _own_clock) -> None:
    """Call at the start of a process that works on the queue. Raises ImproperlyConfigured.

    A database that is down says nothing about the time either.
    """
    with suppress(OperationalError):
        ahead = clock_ahead(own)
        if abs(ahead) < CLOCK_WARNING:
            return
        side = "ahead of" if ahead > timedelta() else "behind"
        words = f"{abs(ahead).total_seconds():.0f} s {side}"
        logger.warning("the clock of this machine is %s that of the database", words)
        if abs(ahead) >= CLOCK_MOST:
            raise ImproperlyConfigured(
                f"the clock of this machine is {words} that of the database, so it would take over"
                " mail that others have in hand; let both follow the same time (NTP)"
            )


@register(Tags.security, deploy=True)
def check_database(**kwargs: Any) -> list[Error]:
    errors = []
    if unsafe_role():
        errors.append(
            Error(
                "The database role is a superuser, owns tables or has BYPASSRLS.",
                hint="Connect as web, relay or duty; only migrations connect as the owner.",
                id="accounts.E001",
            )
        )
    if names := unsafe_settings():
        errors.append(
            Error(
                f"The database may lose what it has committed: {', '.join(names)}.",
                hint="Turn the settings on.",
                id="accounts.E002",
            )
        )
    return errors


@register(Tags.security, deploy=True)
def check_test_clock(**kwargs: Any) -> list[Error]:
    if not settings.TEST_CLOCK_FILE:
        return []
    return [
        Error(
            "TEST_CLOCK_FILE moves the clock of every process.",
            hint="It is for tests of a running stack: unset it.",
            id="accounts.E003",
        )
    ]


@register(Tags.security, deploy=True)
def check_vault(**kwargs: Any) -> list[Error]:
    if not settings.VAULT_MAKE_KEYS:
        return []
    return [
        Error(
            "The vault makes new keys when it finds none, also when a disk was not mounted.",
            hint="Unset VAULT_MAKE_KEYS; `manage.py rotate_keys` makes the first key.",
            id="accounts.E004",
        )
    ]


@register(Tags.security, deploy=True)
def check_proxies(**kwargs: Any) -> list[CheckMessage]:
    if settings.TRUSTED_PROXIES or not settings.SITE_URL.startswith("https://"):
        return []
    return [
        Warning(
            "TLS ends in front of the portal, but TRUSTED_PROXIES names no proxy.",
            hint="Name it, or all clients count as one address when guessing is limited.",
            id="accounts.W001",
        )
    ]


@register(Tags.security)
def check_password_rule(**kwargs: Any) -> list[Error]:
    if settings.PASSWORD_LENGTH >= PASSWORD_FLOOR_LENGTH:
        return []
    return [
        Error(
            f"PASSWORD_LENGTH is below {PASSWORD_FLOOR_LENGTH}, the least that may be asked for.",
            hint="Ask for more characters.",
            id="accounts.E005",
        )
    ]
