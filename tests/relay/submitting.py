# SPDX-License-Identifier: AGPL-3.0-or-later
"""A submission server with the real policy, and the rows it needs to let somebody in."""

from __future__ import annotations

import base64
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

from django.conf import settings

from accounts import vault
from accounts.models import Organisation
from relay.limits import Allowance, SharedCounters, SignInGate
from relay.models import Credential, SendingDomain
from relay.queue import Accepted, Store, StoreUnavailable
from relay.senders import Senders
from relay.smtp.listener import Limits, Listener
from relay.smtp.networks import Network
from relay.submission import SECRET_PURPOSE, Submission
from tests import build
from tests.relay import mail
from tests.relay.smtp.listening import Running

SECRET = "a-secret-of-160-bits-and-more"


class Journal:
    """A store that keeps what it was given, or refuses."""

    def __init__(self) -> None:
        self.messages: list[Accepted] = []
        self.away = False

    async def store(self, message: Accepted) -> None:
        if self.away:
            raise StoreUnavailable("no database")
        self.messages.append(message)


def plain(username: str, secret: str = SECRET) -> bytes:
    return base64.b64encode(f"\0{username}\0{secret}".encode())


def credential(organisation: Organisation, username: str = "anna", **fields: object) -> Credential:
    with build.as_owner():
        return Credential.objects.create(
            organisation=organisation,
            name=f"web {username}",
            username=username,
            secret_hash=vault.keyed_hash(SECRET_PURPOSE, SECRET.encode()),
            created_at=build.NOW,
            **fields,
        )


def by_network(username: str, *networks: str, of: Organisation, **fields: object) -> None:
    """A credential that needs no secret in these networks."""
    credential(of, username, networks=list(networks), by_network=True, **fields)


def domain(organisation: Organisation, name: str, state: str = "verified") -> None:
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=organisation,
            name=name,
            token="x",
            state=state,
            created_at=build.NOW,
            verified_at=None if state == "pending" else datetime.now(UTC),
        )


@contextlib.contextmanager
def serving(
    journal: Journal | Store,
    *,
    redis_url: str = "",
    dsn: str = "",
    tls: ssl.SSLContext | None = None,
    balancers: tuple[Network, ...] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Running]:
    senders = Senders(dsn or mail.dsn(), mail.now, clock)
    counters = SharedCounters(redis_url or settings.REDIS_URL)
    policy = Submission(
        senders=senders,
        store=journal,
        allowance=Allowance(counters),
        gate=SignInGate(counters),
        hostname="relay.example",
        now=lambda: datetime.now(UTC),
    )

    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[None]:
        if isinstance(journal, Store):
            await journal.start()
        yield
        if isinstance(journal, Store):
            await journal.stop()
        await senders.write_uses(datetime.now(UTC))
        await senders.close()
        await counters.close()

    listener = Listener(
        hostname="relay.example",
        policy=policy,
        tls=tls,
        plaintext_sign_in=tls is None,
        limits=Limits(sign_in_delay=0.0),
        balancers=balancers,
    )
    server = Running(listener, around=around)
    server.start()
    try:
        yield server
    finally:
        server.stop(0.2)
