# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where mail that comes back is taken in, beside submission in the SMTP process."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from django.conf import settings

from accounts import clock, limits
from relay import feedback
from relay.bouncing import Bouncing
from relay.reading.reader import Reader
from relay.smtp.listener import Limits, Listener, OpenListener
from relay.smtp.reports import LARGEST

CONNECTIONS = 200
# Everybody may connect, so everything is tighter than for customers. A report may bring back a
# whole mail; its beginning says what became of it.
LIMITS = Limits(
    size=10 * 1024 * 1024,
    kept=LARGEST,
    memory=16 * 1024 * 1024,
    # Each return path is about one mail.
    recipients=1,
    messages=100,
    in_vain=500,
    connections=CONNECTIONS,
    connections_per_address=CONNECTIONS // 4,
    network=limits.network,
    content_time=300.0,
    unknown=60.0,
    session=600.0,
)


@asynccontextmanager
async def policy(alert: Callable[[str, str], Awaitable[None]]) -> AsyncIterator[Bouncing]:
    """Lend the policy with everything behind it; `alert` is given a kind and a subject."""
    reader = Reader()
    try:
        async with feedback.opened() as taking:
            yield Bouncing(
                reader=reader,
                feedback=taking,
                hosts=(settings.RELAY_BOUNCE_DOMAIN, settings.RELAY_HOSTNAME),
                now=clock.now,
                alert=lambda kind: alert(kind, ""),
            )
    finally:
        await reader.close()


def listener(bouncing: Bouncing, tls: ssl.SSLContext | None) -> Listener:
    return OpenListener(
        hostname=settings.RELAY_HOSTNAME,
        policy=bouncing,
        tls=tls,
        limits=LIMITS,
        balancers=settings.SMTP_BALANCERS,
    )
