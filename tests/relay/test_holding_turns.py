# SPDX-License-Identifier: AGPL-3.0-or-later
"""Held mail and a shift that works: what is held stays, what is released leaves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from accounts.models import Organisation, Role, User
from accounts.tenancy import organisation_context
from relay import holding, tasks
from relay.queue import Accepted
from relay.scopes import Scope
from tests import build
from tests.relay import mail, pages
from tests.relay.stage import WAITING, carry, route
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)

SENT_ALL_BUT = "SELECT count(*) - {} FROM relay_queueddelivery"
STAYS, GOES, OTHERS = "held@stays.example", "free@goes.example", "free@others.example"


@pytest.fixture
def builder(house: Organisation, anna: User) -> Any:
    build.member(house, anna, Role.OWNER)
    return pages.membership(anna)


def act(builder: Any, what: Any, scope: Scope) -> None:
    with organisation_context(builder.organisation_id, person_id=builder.user_id):
        what(scope, by=builder)
    with build.as_role("duty"):
        tasks.settle_holds()


def scopes_of(house: UUID, held: Accepted) -> dict[str, tuple[Scope, int]]:
    """Return what may be held, and how many deliveries of the two messages that keeps back."""
    return {
        "message": (Scope(house, held.id), 1),
        "recipient": (Scope(house, recipient_domain="stays.example"), 1),
        "sender": (Scope(house, domain="gren.due.example"), 1),
        "all": (Scope(house), 2),
    }


def moved(port: int) -> None:
    mail.execute("UPDATE relay_route SET port = %s", port)


@pytest.mark.behaviour(26)
@pytest.mark.parametrize("kind", ["message", "recipient", "sender", "all"])
def test_held_mail_stays_until_it_is_released(house: Organisation, builder: Any, kind: str) -> None:
    held = mail.message(house.id, STAYS, sender="post@gren.due.example")
    scope, count = scopes_of(house.id, held)[kind]
    if kind == "message":
        mail.run(mail.keep(held))
    act(builder, holding.hold, scope)
    # All but a message's hold are about what comes later as well.
    other = mail.organisation("Andet Hus A/S")
    late = [mail.message(house.id, GOES), mail.message(other.id, OTHERS)]
    mail.run(mail.keep(*late) if kind == "message" else mail.keep(held, *late))

    def routes(port: int) -> None:
        route(house, port=port)
        route(other, port=port)

    first = carry(Script(), prepare=routes, ready=SENT_ALL_BUT.format(count))
    sent = sorted(r for one in first.ledger for r in one.recipients)
    assert sent == [OTHERS] if kind == "all" else sent == [GOES, OTHERS]
    act(builder, holding.release, scope)
    again = carry(Script(), prepare=moved, ready=WAITING)
    assert sorted(r for one in again.ledger for r in one.recipients) == sorted(
        [STAYS, GOES] if kind == "all" else [STAYS]
    )
    assert mail.value("SELECT count(*) FROM relay_content") == 0
