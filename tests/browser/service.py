# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole service on the test database: portal, submission, delivery and worker, each a process.

Beat is the test: it says when (`beat`), and what time it is (tests/browser/moving.py).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from redis import Redis

from config.celery import app
from config.stack.children import end, open_log, spawn
from config.stack.places import ROOT
from config.stack.processes import MARK, commands, process_environment
from config.stack.state import free_port
from tests.browser.moving import moved_clock
from tests.browser.portal import running_portal
from tests.relay import mail
from tests.testbed.certificates import Authority
from tests.testbed.dns import NameServer
from tests.testbed.smtp import FarEnd, threaded

PROCESSES = ("smtp", "delivery", "worker")
END_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Service:
    """`far_end` is the customer's own mail server, `dns` answers for their domain."""

    site: str
    smtp_port: int
    ca_file: Path
    far_end: FarEnd
    dns: NameServer
    logs: Path

    def beat(self, task: str) -> None:
        """Say that it is time for a task, as beat does."""
        with app.connection_for_write(settings.REDIS_URL) as connection:
            app.send_task(task, connection=connection, queue=_queue(task))

    def said(self) -> str:
        """Everything that the processes have logged."""
        return "".join(path.read_text() for path in sorted(self.logs.iterdir()))


def _queue(task: str) -> str:
    return "delivery" if task == "relay.deliver" else "worker"


@contextmanager
def running_service(directory: Path) -> Iterator[Service]:
    """Start everything below `directory`; the clock is right again afterwards."""
    authority, logs = Authority(directory), directory / "log"
    logs.mkdir()
    with ExitStack() as held:
        held.enter_context(moved_clock())
        held.enter_context(_empty_broker())
        far_end = held.enter_context(threaded(FarEnd(tls=authority.server("127.0.0.1"))))
        dns = held.enter_context(NameServer())
        extra = _extra(far_end, dns, authority, logs)
        held.enter_context(_processes(extra, logs))
        site = held.enter_context(running_portal(extra))
        ca_file = Path(os.environ["RELAY_CA_FILE"])
        yield Service(site, int(extra["SMTP_PORT"]), ca_file, far_end, dns, logs)


def _extra(far_end: FarEnd, dns: NameServer, authority: Authority, logs: Path) -> dict[str, str]:
    """What all processes must know; the rest they have from the run of the tests."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "false",
        "WEB_DATABASE_URL": mail.dsn("web"),
        "RELAY_DATABASE_URL": mail.dsn("relay"),
        "DUTY_DATABASE_URL": mail.dsn("duty"),
        "REDIS_URL": settings.REDIS_URL,
        "VAULT_URL": settings.VAULT_URL,
        "KEYRING_URL": settings.KEYRING_URL,
        "AUDIT_ANCHORS": settings.AUDIT_ANCHORS,
        "PACKAGES": settings.PACKAGES,
        "SEAL_KEYS_URL": settings.SEAL_KEYS_URL,
        # Of its own: a worker does not start beside erasures that its database does not know.
        "ERASURE_JOURNAL": str(logs.parent / "erasures"),
        "TEST_CLOCK_FILE": settings.TEST_CLOCK_FILE,
        "LOG_DIRECTORIES": str(logs),
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(free_port()),
        "SMTPS_PORT": str(free_port()),
        # Also where a stack of this checkout, run before, has left its settings.
        "RELAY_DEVELOPMENT_DOMAINS": "false",
        "RELAY_RESOLVER": dns.server,
        "RELAY_CA_FILE": str(authority.ca_file),
        "RELAY_EGRESS_LOOPBACK_PORTS": str(far_end.port),
    }


@contextmanager
def _empty_broker() -> Iterator[None]:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


@contextmanager
def _processes(extra: Mapping[str, str], logs: Path) -> Iterator[None]:
    """Run the very commands of the Procfile; nobody waits for them before they are needed."""
    environment = process_environment({**os.environ, **extra})
    # The mark belongs to a checkout's own stack, whose launcher ends whatever bears it.
    del environment[MARK]
    with ExitStack() as held:
        for name in PROCESSES:
            with open_log(logs / f"{name}.log") as log:
                process = spawn(
                    ["/bin/sh", "-c", f"exec env {commands()[name]}"],
                    ending=signal.SIGTERM,
                    log=log,
                    environment=environment,
                    cwd=ROOT,
                )
            held.callback(end, process, signal.SIGTERM, signal.SIGKILL, patience=END_SECONDS)
        yield
