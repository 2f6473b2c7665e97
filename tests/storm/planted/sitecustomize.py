# SPDX-License-Identifier: AGPL-3.0-or-later
"""Loaded by every Python process of a storm with planted faults, before anything else."""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

ACKNOWLEDGED_EARLY = 1.0  # seconds between a wrong 250 and the commit


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
    condition = "(lease_expires_at IS NULL OR lease_expires_at < %(now)s)"
    assert condition in module.CLAIM
    module.CLAIM = module.CLAIM.replace(condition, "lease_expires_at IS NULL")


def shorten_leases(module: Any) -> None:
    module.LEASE = timedelta(seconds=6)


def delete_before_send(module: Any) -> None:
    """A claim settles as delivered what it hands out: a crash before the sending loses mail."""
    claim, settle = module.Leases.claim, module.Leases.settle
    from relay.queue.entries import Settlement  # noqa: PLC0415 - Django stands only now

    async def forgetful(self: Any, *arguments: Any, **options: Any) -> Any:
        works = await claim(self, *arguments, **options)
        for work in works:
            now = datetime.now(UTC)
            done = [Settlement(delivery=d, state="delivered", at=now) for d in work.deliveries]
            await settle(self, work, tuple(done))
        return works

    async def marked(self: Any, leases: Any) -> None:
        return None

    async def settled(self: Any, work: Any, settlements: Any, notice: Any = None) -> Any:
        return frozenset(settlement.delivery.id for settlement in settlements)

    module.Leases.claim, module.Leases.mark_dots, module.Leases.settle = forgetful, marked, settled


PATCHES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "ack-before-commit": ("relay.queue.store", acknowledge_before_commit),
    "no-lease-expiry": ("relay.queue.statements", never_expire_leases),
    "short-lease": ("relay.queue.statements", shorten_leases),
    "delete-before-send": ("relay.queue.leases", delete_before_send),
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
