# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tokens of return paths: they hold no address, nobody else can make one, and they grow old."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from accounts.ids import uuid7
from relay import returnpaths
from relay.models.messages import LOG_DAYS
from relay.returnpaths import ReturnPath
from relay.smtp.addresses import parse_address
from tests.build import NOW

PATH = ReturnPath(uuid7(NOW), 3)


def read(local: str, now: datetime = NOW) -> ReturnPath | None:
    return returnpaths.read(local, now)


@given(position=some.none() | some.integers(0, 0xFFFE), tail=some.integers(0, 2**64 - 1))
def test_token_comes_back_as_it_went(position: int | None, tail: int) -> None:
    message_id = UUID(int=uuid7(NOW).int & ~(2**62 - 1) | tail & (2**62 - 1))
    path = ReturnPath(message_id, position)
    assert read(returnpaths.written(path)) == path


def test_token_is_a_plain_local_part_that_any_case_survives() -> None:
    token = returnpaths.written(PATH)
    assert len(token) == 48
    assert str(parse_address(f"{token}@bounce.kunde.example")).startswith(token)
    assert read(token.upper()) == PATH


@pytest.mark.behaviour(42)
def test_no_letter_of_a_token_can_be_changed() -> None:
    token = returnpaths.written(PATH)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    for place in range(1, len(token)):
        others = (one for one in letters if one != token[place])
        for other in others:
            assert read(token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize(
    "local", ["", "b", "bounce", "b" + "a" * 47, "c" + "a" * 47, "b" + "a" * 48, "b" + "1" * 47]
)
def test_what_is_no_token_is_none(local: str) -> None:
    assert read(local) is None


def test_token_of_another_installation_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = returnpaths.written(PATH)
    monkeypatch.setattr(returnpaths, "_PURPOSE", "another")
    assert read(token) is None


def test_token_is_of_no_use_after_the_logs_period() -> None:
    token, period = returnpaths.written(PATH), timedelta(days=LOG_DAYS)
    assert read(token, NOW + period - timedelta(seconds=1)) == PATH
    assert read(token, NOW + period) is None
