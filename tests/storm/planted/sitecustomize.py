# SPDX-License-Identifier: AGPL-3.0-or-later
"""Loaded by every Python process of a storm with planted faults, before anything else."""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

ACKNOWLEDGED_EARLY = 1.0  # seconds between a wrong 250 and the commit
SILENT = 5.0  # seconds that a look-up takes in vain


def acknowledge_before_commit(module: Any) -> None:
    """`store` returns at once and commits a moment later: a crash between loses mail."""
    store = module.Store.store
    running: set[asyncio.Task[None]] = set()

    async def commit_later(self: Any, message: Any) -> None:
        await asyncio.sleep(ACKNOWLEDGED_EARLY)
        await store(self, message)

    async def early(self: Any, message: Any) -> None:
        task = asyncio.create_task(commit_later(self, message))
        running.add(task)
        task.add_done_callback(running.discard)

    module.Store.store = early


def never_expire_leases(module: Any) -> None:
    """A claim passes over every lease, also one that ran out: its mail waits for ever."""
    condition = "(q.lease_expires_at IS NULL OR q.lease_expires_at < %(now)s)"
    assert condition in module.CLAIM
    module.CLAIM = module.CLAIM.replace(condition, "q.lease_expires_at IS NULL")


def shorten_leases(module: Any) -> None:
    module.LEASE = timedelta(seconds=6)


def delete_before_send(module: Any) -> None:
    """A claim settles as delivered what it hands out: a crash before the sending loses mail."""
    claim, settle = module.Leases.claim, module.Leases.settle
    from relay.queue.entries import Settlement  # noqa: PLC0415 - Django stands only now

    async def forgetful(self: Any, *arguments: Any, **options: Any) -> Any:
        claimed = await claim(self, *arguments, **options)
        for work in claimed.works:
            now = datetime.now(UTC)
            done = [Settlement(delivery=d, state="delivered", at=now) for d in work.deliveries]
            await settle(self, work, tuple(done))
        return claimed

    async def marked(self: Any, leases: Any) -> None:
        return None

    async def settled(self: Any, work: Any, settlements: Any, notice: Any = None) -> Any:
        return frozenset(settlement.delivery.id for settlement in settlements)

    module.Leases.claim, module.Leases.mark_dots, module.Leases.settle = forgetful, marked, settled


def look_often(module: Any) -> None:
    """The heartbeat is looked at every two seconds, not each minute."""
    module.watch.__defaults__ = (2.0,)


def choke(module: Any) -> None:
    """Mail whose recipient says so raises a fault, or ends the process that carries it."""
    carry = module.Courier._carry

    async def choking(self: Any, job: Any) -> Any:
        names = " ".join(lease.recipient.address for lease in job.work.deliveries)
        if "+kills@" in names:
            with open(os.environ["STORM_DEATHS"], "a") as deaths:
                deaths.write(f"{time.monotonic()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if "+raises@" in names:
            raise RuntimeError("poison")
        return await carry(self, job)

    module.Courier._carry = choking


def look_up_as_told(module: Any) -> None:
    """A provider's name leads to loopback, or fails as a file says (tests/storm/onward.py)."""
    ask = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != "api.postmark.example":
            return ask(host, *arguments, **options)
        with open(os.environ["STORM_NAMES"]) as file:
            word = file.read()
        if word:
            time.sleep(SILENT if word == "silent" else 0.0)
            kind = socket.EAI_NONAME if word == "unknown" else socket.EAI_AGAIN
            raise socket.gaierror(kind, "no address")
        return ask("127.0.0.1", *arguments, **options)

    socket.getaddrinfo = answer


def end_what_is_not_found(module: Any) -> None:
    """A next hop that no name leads to ends the mail, as if there never could be one."""
    judged = module.judged

    def ended(work: Any, lease: Any, tried: Any, random: Any) -> Any:
        from relay.smtp.replies import Verdict  # noqa: PLC0415 - Django stands only now

        said = tried.outcome
        if said.verdict is Verdict.RETRY and not said.code and not said.after_dot:
            worse = replace(said, verdict=Verdict.BOUNCED)
            tried = replace(tried, outcome=worse)
        return judged(work, lease, tried, random)

    module.judged = ended


def retry_at_once(module: Any) -> None:
    module.next_attempt = lambda _number, _accepted_at, now, _lifetime, _random: now


def never_quarantine(module: Any) -> None:
    """What fails is tried again for ever."""
    module.is_set_aside = lambda lease: False
    module.struck = lambda lease, now: (lease, now + timedelta(minutes=1), None)


def mute_alerts(module: Any) -> None:
    async def silent(*_arguments: Any) -> None:
        return None

    module.raise_alert_on = silent


def use_any_route(module: Any) -> None:
    """Mail of every organisation takes the routes of the one that came first."""
    target, first = module.Routes.target, []

    async def wrong(self: Any, organisation_id: Any, domain: str) -> Any:
        first.append(organisation_id)
        return await target(self, first[0], domain)

    module.Routes.target = wrong


def take_the_sandbox_for_live(module: Any) -> None:
    work = module._work

    def live(rows: Any) -> Any:
        found = work(rows)
        object.__setattr__(found, "is_sandbox", False)
        return found

    module._work = live


def stop_at_once(module: Any) -> None:
    """A stop leaves connections as they are; soon one is in the middle of a message."""

    async def hasty(self: Any, grace: float) -> None:
        for _ in range(2000):
            if any(getattr(one, "_content", None) for one in self.conversations):
                break
            await asyncio.sleep(0.001)
        os._exit(0)

    module.Listener.stop = hasty


PATCHES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "ack-before-commit": ("relay.queue.store", acknowledge_before_commit),
    "no-lease-expiry": ("relay.queue.claiming", never_expire_leases),
    "short-lease": ("relay.queue.statements", shorten_leases),
    "quick-watch": ("relay.heartbeat", look_often),
    "poison": ("relay.delivery", choke),
    "names-end-mail": ("relay.outcomes", end_what_is_not_found),
    "system-names": ("relay.esp.posting", look_up_as_told),
    "delete-before-send": ("relay.queue.leases", delete_before_send),
    "retry-at-once": ("relay.smtp.schedule", retry_at_once),
    "no-quarantine": ("relay.quarantine", never_quarantine),
    "mute-alerts": ("accounts.alerts", mute_alerts),
    "hasty-stop": ("relay.smtp.listener", stop_at_once),
    "any-route": ("relay.routing", use_any_route),
    "sandbox-leaves": ("relay.queue.statements", take_the_sandbox_for_live),
}


class Planter(importlib.abc.MetaPathFinder):
    """Finds the modules to be altered as usual, and alters them when they are loaded."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.patches = [PATCHES[fault] for fault in faults]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        wanted = [patch for name, patch in self.patches if name == fullname]
        spec = importlib.machinery.PathFinder.find_spec(fullname, path) if wanted else None
        if spec is None or spec.loader is None:
            return None
        _plant(spec.loader, wanted)
        return spec


def _plant(loader: Any, patches: Sequence[Callable[[Any], None]]) -> None:
    load = loader.exec_module

    def load_and_alter(module: ModuleType) -> None:
        load(module)
        for patch in patches:
            patch(module)

    loader.exec_module = load_and_alter


if chosen := os.environ.get("STORM_FAULTS", ""):
    sys.meta_path.insert(0, Planter(chosen.split(",")))
