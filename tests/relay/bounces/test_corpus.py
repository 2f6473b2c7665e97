# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reports as they came from servers over twenty years: what is found in them, and what is not.

They are read in the child that serves. Without the archive, which `make test` fetches, not run.
"""

from __future__ import annotations

import asyncio

import pytest

from config.stack.corpus import archive
from relay.reading.reader import Reader
from relay.smtp.bounces import classify
from relay.smtp.reports import Action, Reported
from tests.relay.bounces.corpus import Sample, samples

Found = list[tuple[Sample, tuple[Reported, ...]]]


@pytest.fixture(scope="module")
def found() -> Found:
    path = archive()
    if path is None:
        pytest.skip("not run: the corpus of returned mail is not there")

    async def read() -> Found:
        reader = Reader()
        try:
            return [
                (one, await reader.read(one.content, has_sender=False)) for one in samples(path)
            ]
        finally:
            await reader.close()

    return asyncio.run(read())


def named(reported: tuple[Reported, ...]) -> set[str]:
    return {address.lower() for one in reported for address in one.addresses}


@pytest.mark.behaviour(42)
def test_recipients_are_found(found: Found) -> None:
    wanted = sum(len(one.recipients) for one, _ in found)
    hits = sum(len(one.recipients & named(reported)) for one, reported in found)
    assert wanted > 100
    assert hits / wanted >= 0.95, [one.name for one, r in found if not one.recipients <= named(r)]


def test_failures_are_told_from_delays(found: Found) -> None:
    right = [
        {each.action for each in reported} == {Action.DELAYED if one.is_soft else Action.FAILED}
        for one, reported in found
    ]
    assert sum(right) / len(right) >= 0.90


@pytest.mark.behaviour(42)
def test_delay_costs_nobody_anything(found: Found) -> None:
    soft = [reported for one, reported in found if one.is_soft]
    assert len(soft) >= 5
    assert not any(classify(each).is_hard for reported in soft for each in reported)
