# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import re
from datetime import timedelta

import pytest

from accounts import links
from tests import build
from tests.accounts.conftest import Clock


def test_link_opens_until_it_expires(clock: Clock) -> None:
    token = links.make("a", {"name": "Ærø"}, build.NOW + timedelta(hours=1))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    clock.forward(minutes=59, seconds=59)
    assert links.read("a", token) == {"name": "Ærø"}
    clock.forward(seconds=1)
    with pytest.raises(links.LinkExpired):
        links.read("a", token)


def test_link_is_for_one_purpose_and_whole(clock: Clock) -> None:
    token = links.make("a", {"name": "x"}, build.NOW + timedelta(hours=1))
    with pytest.raises(links.LinkInvalid):
        links.read("b", token)
    changed = token[:9] + ("B" if token[9] == "A" else "A") + token[10:]
    for broken in ["", "x", token[:-4], changed, "é" * 9, "A" * 5000]:
        with pytest.raises(links.LinkInvalid):
            links.read("a", broken)
