# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio

import pytest

from relay import supervision
from tests.relay import mail
from tests.relay.stage import until


def test_what_a_fault_ended_begins_again_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the telling fails as well."""
    monkeypatch.setattr(supervision, "AGAIN_SECONDS", 0.01)
    began: list[int] = []
    told: list[tuple[str, str]] = []

    async def watcher() -> None:
        began.append(1)
        if len(began) < 3:
            raise KeyError("anna@firma.example")
        await asyncio.Event().wait()

    async def alert(kind: str, subject: str) -> None:
        told.append((kind, subject))
        raise OSError

    async def scenario() -> None:
        task = asyncio.create_task(supervision.kept_going("heartbeat", watcher, alert))
        await until(lambda: len(began) == 3)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    mail.run(scenario())
    assert told == [(supervision.ENDED, "heartbeat")] * 2
