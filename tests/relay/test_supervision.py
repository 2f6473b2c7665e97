# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import resource
import subprocess
import sys

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


def test_garbage_is_looked_for_rarely_and_not_in_what_was_loaded() -> None:
    """In a process of its own, as it cannot be undone."""
    act = (
        "import gc; from relay.supervision import carry_lightly as act; act();"
        "print(gc.get_threshold()[0], gc.get_freeze_count() > 1000)"
    )
    done = subprocess.run([sys.executable, "-c", act], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(supervision.GARBAGE_AFTER), "True"]


def test_memory_of_large_mail_is_given_back() -> None:
    """Also where a block of it was in use and went before, which moves glibc's own bound."""
    act = (
        "import sys; from relay.supervision import carry_lightly\n"
        "def held(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "if sys.argv[1]: carry_lightly()\n"
        "bytes(20_000_000); at_first, blocks = held(), []\n"
        "for _ in range(5): blocks += [bytearray(b'x') * 20_000_000, bytearray(b'x') * 100_000]\n"
        "del blocks[::2]; print(held() - at_first > 15_000_000)"
    )
    found = [
        subprocess.run([sys.executable, "-c", act, on], capture_output=True, text=True, check=True)
        for on in ("", "yes")
    ]
    assert [done.stdout.strip() for done in found] == ["True", "False"]


def test_open_files_follow_the_connections() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        supervision.allow_files(500)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 500 + supervision.FILES_BESIDE
        supervision.allow_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 500 + supervision.FILES_BESIDE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
