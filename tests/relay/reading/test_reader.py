# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reports are read in a child that knows nothing, is bounded, and is replaced when it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from accounts.bounded import environment
from relay.reading import reader as reading
from relay.reading.reader import Reader, Unreadable
from relay.smtp.reports import Action, Reported
from tests.relay.bounces.letters import group, report

T = TypeVar("T")
UNRULY = "tests.relay.reading.unruly"


def with_reader(
    work: Callable[[Reader], Awaitable[T]], module: str = UNRULY, patience: float = 60.0
) -> T:
    async def run() -> T:
        reader = Reader(module=module, patience=patience)
        try:
            return await work(reader)
        finally:
            await reader.close()

    return asyncio.run(run())


async def said(reader: Reader, word: str) -> str:
    """What the unruly child says: its number, but for some words."""
    (found,) = await reader.read(word.encode(), has_sender=False)
    return found.text


def test_report_is_read_in_the_child_that_serves() -> None:
    async def work(reader: Reader) -> tuple[tuple[Reported, ...], ...]:
        # What no parser gets through takes nothing from the next one.
        deep = b"".join(
            b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n)
            for n in range(3000)
        )
        return (
            await reader.read(deep, has_sender=False),
            await reader.read(report(group()), has_sender=False),
            await reader.read(b"Subject: Tak\r\n\r\nHej\r\n", has_sender=True),
        )

    nothing, found, none = with_reader(work, module="relay.reading")
    assert nothing == none == ()
    assert [(one.action, one.addresses) for one in found] == [
        (Action.FAILED, ("erik@modtager.example",))
    ]


def test_child_knows_no_setting_and_outlives_many_contents() -> None:
    async def work(reader: Reader) -> tuple[str, str, str]:
        return await said(reader, "one"), await said(reader, "two"), await said(reader, "tell")

    first, second, told = with_reader(work)
    assert first == second != str(os.getpid())
    # Python adds what the locale needs.
    assert set(told.split()) <= {*environment(""), "LC_CTYPE"}


@pytest.mark.parametrize("word", ["compute", "hoard", "babble", "leave"])
def test_child_that_fails_is_replaced(word: str) -> None:
    async def work(reader: Reader) -> tuple[str, str]:
        first = await said(reader, "one")
        with pytest.raises(Unreadable):
            await said(reader, word)
        return first, await said(reader, "two")

    first, second = with_reader(work)
    assert first != second


def test_child_that_stands_still_is_killed() -> None:
    async def work(reader: Reader) -> int:
        with pytest.raises(Unreadable):
            await said(reader, "stand")
        assert reader._child is None
        return 1

    assert with_reader(work, patience=1.0) == 1


def test_child_that_was_killed_meanwhile_costs_no_report() -> None:
    async def work(reader: Reader) -> tuple[str, str]:
        first = await said(reader, "one")
        assert reader._child is not None
        os.kill(int(first), signal.SIGKILL)
        await reader._child.wait()
        return first, await said(reader, "two")

    first, second = with_reader(work)
    assert first != second


def test_child_is_replaced_after_so_many_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CONTENTS_MOST", 2)

    async def work(reader: Reader) -> list[str]:
        return [await said(reader, "one") for _ in range(3)]

    first, second, third = with_reader(work)
    assert first == second != third


def test_answer_of_a_content_that_was_cut_off_is_never_the_next_ones() -> None:
    async def work(reader: Reader) -> tuple[str, str]:
        first = await said(reader, "one")
        cut = asyncio.create_task(said(reader, "stand"))
        await asyncio.sleep(0)
        cut.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut
        return first, await said(reader, "two")

    with_reader(work)
