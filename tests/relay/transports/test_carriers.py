# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from relay.smtp.envelope import Envelope
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.transports import RouteTarget
from relay.transports.carriers import Carriers
from tests.relay.transports.test_smarthost import ENVELOPE, content, nothing

TAKEN = Outcome(verdict=Verdict.DELIVERED, scope=Scope.RECIPIENT)


class Taking:
    """Takes everything, and says what it was given."""

    def __init__(self) -> None:
        self.sent: list[RouteTarget] = []
        self.is_closed = False

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Any, on_dot: Any
    ) -> list[Outcome | None]:
        self.sent.append(target)
        return [TAKEN] * len(envelope.recipients)

    async def close(self) -> None:
        self.is_closed = True


def target(kind: str, **more: Any) -> RouteTarget:
    return RouteTarget(route_id=UUID(int=1), kind=kind, **more)


def sent(carriers: Carriers, one: RouteTarget) -> Sequence[Outcome | None]:
    return asyncio.run(carriers.send(one, ENVELOPE, content, nothing))


def test_mail_leaves_by_the_transport_of_its_kind() -> None:
    own, esp = Taking(), Taking()
    carriers = Carriers({"own": own, "esp": esp})
    assert sent(carriers, target("esp")) == [TAKEN]
    assert (own.sent, esp.sent) == ([], [target("esp")])
    asyncio.run(carriers.close())
    assert own.is_closed
    assert esp.is_closed


def test_mail_waits_for_a_transport_that_is_not_set_up() -> None:
    (outcome,) = sent(Carriers({"own": Taking()}), target("direct"))
    assert outcome is not None
    assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.3.5")


def test_connections_are_counted_by_route_or_by_destination() -> None:
    first, other = (target("direct", destination=name) for name in ("a.example", "b.example"))
    assert first.hop != other.hop
    assert first.hop == target("direct", destination="a.example").hop
    assert target("own").hop == target("own").route_id
