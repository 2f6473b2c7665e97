# SPDX-License-Identifier: AGPL-3.0-or-later
"""Search a seeded log as the portal does, in a process and under a role of the portal's.

A program of the lanes of logs.py: takes what to do as JSON, and gives what it found as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import django

CALLS = 200
PAGES = 100
WALKS = 4  # searches of which the hundredth page is gone to


def main(order: dict[str, Any]) -> Any:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    acts: dict[str, Callable[..., Any]] = {"sign-in": sign_in, "known": known, "measure": measure}
    return acts[order.pop("act")](**order)


def sign_in(organisation: str) -> str:
    """Return the key of a session of somebody who keeps the organisation; as the owner."""
    from accounts.models import Organisation, Role
    from tests import build

    house = Organisation.objects.get(id=organisation)
    anna = build.person("Anna", "Due")
    build.member(house, anna, Role.OWNER)
    return build.session(anna, house)


def known(organisation: str, messages: list[list[str]]) -> None:
    """Give some messages a Message-ID: their own number; as the owner."""
    from relay import logfields
    from relay.models import Message

    for accepted_at, identifier in messages:
        hashed = logfields.header_hash(UUID(organisation), f"{identifier}@bench.example")
        row = Message.objects.filter(accepted_at=accepted_at, id=identifier)
        assert row.update(header_hash=hashed) == 1


def measure(organisation: str, searches: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the times of each filter in ms, of its first and its hundredth pages; as `web`."""
    from relay.search import Search

    house = UUID(organisation)
    return {
        name: _filter(house, [Search(**one) for one in asked]) for name, asked in searches.items()
    }


def _filter(house: UUID, asked: list[Any]) -> dict[str, Any]:
    _page(house, asked[0], None)
    first = [_page(house, asked[n % len(asked)], None) for n in range(CALLS)]
    # A page without a line may only say where to look on.
    finds = any(lines or onward for _, lines, onward in first)
    far = [_gone_to(house, one) for one in asked[:WALKS]]
    last = [_page(house, *far[n % len(far)][:2]) for n in range(CALLS)]
    return {
        "finds": finds,
        "first": _cuts([took for took, _, _ in first]),
        "hundredth": _cuts([took for took, _, _ in last]),
        # Fewer where a search finds less than a hundred pages.
        "page": min(page for _, _, page in far),
        "lines": statistics.median(lines for _, lines, _ in first),
    }


def _page(house: UUID, asked: Any, before: Any) -> tuple[float, int, Any]:
    """Return the milliseconds that a page took, its lines, and where the next one goes on."""
    from accounts.tenancy import organisation_context
    from relay import search

    begun = time.perf_counter()
    with organisation_context(house):
        page = search.find(house, asked, before)
    return (time.perf_counter() - begun) * 1000, len(page.lines), page.next


def _gone_to(house: UUID, asked: Any) -> tuple[Any, Any, int]:
    """Return a search, where its hundredth page begins, and that page's number."""
    before, number = None, 1
    for _ in range(PAGES - 1):
        *_, onward = _page(house, asked, before)
        if onward is None:
            break
        before, number = onward, number + 1
    return asked, before, number


def _cuts(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=20)
    return {"p50": round(cuts[9], 1), "p95": round(cuts[18], 1), "worst": round(max(times), 1)}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
