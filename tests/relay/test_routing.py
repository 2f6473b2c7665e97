# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from relay.routing import RouteFacts, Waits, choose

GENERAL = {"may_send": True, "id": uuid4(), "host": "general.example"}
NAMED = {"may_send": True, "id": uuid4(), "host": "named.example", "domain": "due.example"}
BELOW = {"may_send": True, "id": uuid4(), "host": "below.example", "domain": "news.due.example"}
PAUSED = {"paused": True, "pause_reason": "by_person"}
REFUSED = {"paused": True, "pause_reason": "sign_in_refused"}
NOBODY: dict[str, Any] = {"may_send": True, "id": None}


@pytest.mark.parametrize(
    ("routes", "domain", "expected"),
    [
        ([GENERAL], "due.example", "general.example"),
        ([GENERAL, NAMED], "due.example", "named.example"),
        ([GENERAL, NAMED], "DUE.example", "named.example"),
        ([GENERAL, NAMED], "www.due.example", "named.example"),
        ([NAMED, BELOW], "news.due.example", "below.example"),
        ([GENERAL, NAMED], "fordue.example", "general.example"),
        ([NAMED], "andre.example", "no_route"),
        ([NOBODY], "due.example", "no_route"),
        ([], "due.example", "stopped"),
        ([GENERAL | {"may_send": False}], "due.example", "stopped"),
        ([GENERAL | PAUSED], "due.example", "route_paused"),
        ([GENERAL | REFUSED], "due.example", "sign_in_refused"),
        ([GENERAL | PAUSED, GENERAL | {"host": "second.example"}], "x.example", "second.example"),
        ([GENERAL, NAMED | PAUSED], "due.example", "route_paused"),
    ],
)
def test_route_is_chosen_by_domain_then_order(
    routes: list[dict[str, Any]], domain: str, expected: str
) -> None:
    chosen = choose([RouteFacts(**route) for route in routes], domain)
    assert (chosen.reason if isinstance(chosen, Waits) else chosen.host) == expected
