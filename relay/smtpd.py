# SPDX-License-Identifier: AGPL-3.0-or-later
"""The SMTP process: sockets, certificate, policy and queue put together, and an orderly end.

Several of these may share the ports (SO_REUSEPORT); nothing is kept between them but the database
and Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import uvloop
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from accounts import alerts, clock, limits
from accounts.checks import refuse_unsafe_database, refuse_wrong_clock
from relay import bouncelistener, heartbeat
from relay.daywatch import watch_tomorrow
from relay.limits import Allowance, SharedCounters, SignInGate
from relay.queue import Store, conninfo
from relay.senders import Senders
from relay.smtp.acceptor import listen
from relay.smtp.listener import Limits, Listener
from relay.smtp.tls import MINIMUM_VERSION
from relay.submission import Submission
from relay.supervision import allow_files, carry_lightly, kept_going
from relay.wake import WakeCaller

logger = logging.getLogger(__name__)

CERTIFICATE_SECONDS = 30  # between two looks at the certificate's files
USES_SECONDS = 20
# Shorter than the launcher's and most supervisors' patience with SIGTERM.
GRACE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """The server's certificate and key, which may be renewed while connections are open."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A new server context. Raises OSError and ssl.SSLError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = MINIMUM_VERSION
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.load_cert_chain(self.certificate, self.key)
        return context

    def changed_at(self) -> tuple[int, int]:
        """When both files were written, in nanoseconds. Raises OSError."""
        return self.certificate.stat().st_mtime_ns, self.key.stat().st_mtime_ns


class Renewal:
    """Puts a renewed certificate to use; a broken one never replaces one that works."""

    def __init__(self, files: Certificate, listeners: Sequence[Listener]) -> None:
        self._files = files
        self._listeners = listeners
        self._seen = files.changed_at()

    async def run(self) -> None:
        """Look at the files every CERTIFICATE_SECONDS until cancelled."""
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            with contextlib.suppress(OSError):
                if self._files.changed_at() != self._seen:
                    self.reload()

    def reload(self) -> None:
        """New connections and new STARTTLS get what the files hold now."""
        try:
            seen = self._files.changed_at()
            context = self._files.context()
        except OSError as error:  # ssl.SSLError is one
            logger.error("smtpd: the certificate cannot be read (%s)", type(error).__name__)
            return
        for listener in self._listeners:
            listener.tls = context
        self._seen = seen
        logger.info("smtpd: certificate read again")


def certificate_files() -> Certificate | None:
    """What the settings name. Raises ImproperlyConfigured when it is missing but needed."""
    if settings.SMTP_TLS_CERT and settings.SMTP_TLS_KEY:
        return Certificate(Path(settings.SMTP_TLS_CERT), Path(settings.SMTP_TLS_KEY))
    if not settings.RELAY_ALLOW_PLAINTEXT_AUTH:
        raise ImproperlyConfigured(
            "SMTP_TLS_CERT and SMTP_TLS_KEY must name a certificate and its key"
        )
    return None


def bound(port: int) -> socket.socket:
    """A listening socket on SMTP_HOST. Raises OSError."""
    host = settings.SMTP_HOST
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, reuse_port=True, backlog=512)


def bounds() -> Limits:
    """What the settings allow this process. Raises ImproperlyConfigured when no mail would fit."""
    given = Limits(
        network=limits.network,
        connections=settings.SMTP_CONNECTIONS,
        connections_per_address=settings.SMTP_CONNECTIONS_PER_ADDRESS,
        memory=settings.SMTP_MEMORY,
    )
    if min(given.connections, given.connections_per_address) < 1 or given.memory < given.size:
        raise ImproperlyConfigured(
            "SMTP_CONNECTIONS and SMTP_CONNECTIONS_PER_ADDRESS must be 1 or more, and SMTP_MEMORY"
            f" at least {given.size}, the size of the largest message"
        )
    return given


async def serve(ready: Callable[[], None] = lambda: None) -> None:
    """Run until SIGTERM or SIGINT. Raises ImproperlyConfigured and OSError before it is ready."""
    files = certificate_files()
    context = files.context() if files else None
    async with _submission(context) as submission, _returned(context) as returned:
        listeners = (submission, *returned)
        async with _renewing(files, listeners):
            ready()
            await _signalled()
            await asyncio.gather(*(listener.stop(GRACE_SECONDS) for listener in listeners))


@contextlib.asynccontextmanager
async def _submission(context: ssl.SSLContext | None) -> AsyncIterator[Listener]:
    """Take mail of customers in."""
    async with _policy() as policy:
        listener = Listener(
            hostname=settings.RELAY_HOSTNAME,
            policy=policy,
            tls=context,
            help_url=f"{settings.SITE_URL}/help/smtp",
            plaintext_sign_in=settings.RELAY_ALLOW_PLAINTEXT_AUTH,
            limits=bounds(),
            balancers=settings.SMTP_BALANCERS,
        )
        await listen(listener, bound(settings.SMTP_PORT))
        if context is not None:
            await listen(listener, bound(settings.SMTPS_PORT), implicit_tls=True)
        yield listener


@contextlib.asynccontextmanager
async def _returned(context: ssl.SSLContext | None) -> AsyncIterator[tuple[Listener, ...]]:
    """Take mail in that comes back, where there is a domain that it comes back to."""
    if not settings.RELAY_BOUNCE_DOMAIN:
        yield ()
        return
    async with bouncelistener.policy(_alert) as policy:
        listener = bouncelistener.listener(policy, context)
        await listen(listener, bound(settings.BOUNCE_PORT))
        yield (listener,)


@contextlib.asynccontextmanager
async def _policy() -> AsyncIterator[Submission]:
    """The policy with everything behind it running; ends after the last message is stored."""
    caller = WakeCaller(settings.REDIS_URL)
    counters = SharedCounters(settings.REDIS_URL)
    senders = Senders(conninfo(), clock.now)
    store = Store.of_settings(caller.call)
    caller.start()
    await store.start()
    try:
        async with (
            _beside("last use", lambda: _write_uses(senders)),
            _beside("heartbeat", lambda: heartbeat.watch(conninfo(), clock.now)),
            _beside("tomorrow", lambda: watch_tomorrow(conninfo(), clock.now)),
        ):
            yield Submission(
                senders=senders,
                store=store,
                allowance=Allowance(counters),
                gate=SignInGate(counters),
                hostname=settings.RELAY_HOSTNAME,
                now=clock.now,
            )
            await store.stop()
    finally:
        await senders.close()
        await counters.close()
        await caller.stop()


async def _write_uses(senders: Senders) -> None:
    while True:
        await asyncio.sleep(USES_SECONDS)
        try:
            await senders.write_uses(clock.now())
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.warning("smtpd: last use not written (%s)", type(error).__name__)


@contextlib.asynccontextmanager
async def _renewing(
    files: Certificate | None, listeners: Sequence[Listener]
) -> AsyncIterator[None]:
    if files is None:
        yield
        return
    renewal = Renewal(files, listeners)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, renewal.reload)
    async with _beside("certificate", renewal.run):
        yield


@contextlib.asynccontextmanager
async def _beside(name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run `work` until the block ends."""
    task = asyncio.create_task(kept_going(name, work, _alert), name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _alert(kind: str, subject: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        await alerts.raise_alert_on(connection, kind, subject)


async def _signalled() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run(ready: Callable[[], None] = lambda: None) -> None:
    """Serve on uvloop, on a safe database only. Raises what `serve` raises."""
    refuse_unsafe_database()
    refuse_wrong_clock()
    allow_files(settings.SMTP_CONNECTIONS + bouncelistener.CONNECTIONS)
    carry_lightly()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(ready))
