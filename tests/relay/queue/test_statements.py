# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plans and costs of a claim on queues of several depths, as the role and session of the shifts."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from relay.models import Hold
from relay.queue import LEASE, Ask, Claimed, HotConnection, statements
from relay.queue.claiming import CLAIM
from tests import build
from tests.relay import mail

pytestmark = pytest.mark.django_db(transaction=True)

# Rows as STORE writes them, without their content: a claim takes them all the same.
SEED = """
INSERT INTO relay_queueddelivery (accepted_at, message_id, organisation_id, position, domain,
    recipient, notify, orcpt, expires_at, due_at, attempts, lane, reason, possible_duplicate, fence)
SELECT now(), gen_random_uuid(), coalesce(%s::uuid, gen_random_uuid()), 0, %s,
    'ida@modtager.example', '', '', now() + interval '3 days', now() + %s::interval, 0, %s, 'new',
    false, 0 FROM generate_series(1, %s)
"""
SECOND_AGO = timedelta(seconds=-1)
HOUR_AHEAD = timedelta(hours=1)


def seed(
    house: UUID | None,
    count: int,
    *,
    domain: str = "due.example",
    due: timedelta = SECOND_AGO,
    lane: int = 0,
) -> None:
    """Waiting mail of an organisation, or each row of another one's."""
    mail.execute(SEED, house, domain, due, lane, count)


def forget_leases() -> None:
    mail.execute("UPDATE relay_queueddelivery SET lease_expires_at = NULL WHERE fence > 0")


async def explained(ask: Ask, *options: str) -> Any:
    """Explain a claim as the shifts' connection does it, on the queue as it is; leaves no trace."""
    hot = HotConnection(mail.dsn())
    async with hot.use() as connection, connection.transaction(force_rollback=True):
        values = statements.asked(ask, mail.now())
        values |= {"owner": uuid4(), "until": mail.now() + LEASE, "inline": 1}
        cursor = psycopg.AsyncClientCursor(connection)
        how = ", ".join(("FORMAT JSON", *options))
        await cursor.execute(f"EXPLAIN ({how}) " + CLAIM.replace(")b", ")s"), values)
        (([found],),) = await cursor.fetchall()
    await hot.close()
    return found["Plan"]


def pages(ask: Ask) -> int:
    """Count the pages that a claim looks at: they say the same on every machine."""
    plan = mail.run(explained(ask, "ANALYZE", "BUFFERS", "TIMING OFF"))
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def claims(*asks: Ask) -> list[Claimed]:
    """Claim one after the other, each long after the last."""
    hot, given = HotConnection(mail.dsn()), []
    async with hot.use() as connection:
        for number, ask in enumerate(asks):
            # All leases have run out.
            now = mail.now() + 2 * number * LEASE
            cursor = await statements.claim(connection, uuid4(), ask, now)
            given.append(await statements.claimed(cursor))
    await hot.close()
    return given


def owners(claimed: Claimed) -> Counter[UUID]:
    """Count what a claim gave, by organisation."""
    given: Counter[UUID] = Counter()
    for work in claimed.works:
        given[work.organisation_id] += len(work.deliveries)
    return given


def lanes(claimed: Claimed) -> Counter[int]:
    """Count what a claim gave, by lane."""
    found = mail.rows("SELECT id, lane FROM relay_queueddelivery")
    lane_of = dict(found)
    return Counter(lane_of[lease.id] for work in claimed.works for lease in work.deliveries)


def test_claim_planned_on_an_empty_queue_suits_a_full_one() -> None:
    """Every look at due mail goes down the index of turns; a sort would be of a million rows."""
    plan = str(mail.run(explained(Ask(limit=200))))
    looks = plan.count("'Relation Name': 'relay_queueddelivery'")
    # 2 for each level that is skipped, 3 lanes asked and 3 taken; and the write, by its number.
    assert looks == 12, plan
    assert plan.count("'Index Name': 'queueddelivery_turn'") == 10, plan
    assert plan.count("'Index Name': 'relay_queueddelivery_pkey'") == 1, plan


@pytest.mark.behaviour(25)
@pytest.mark.parametrize(
    "backlog",
    [
        2_000,
        50_000,
        pytest.param(1_000_000, marks=[pytest.mark.full, pytest.mark.timeout(900)]),
    ],
)
def test_backlog_of_one_organisation_costs_another_nothing(backlog: int) -> None:
    """The other's mail is found as fast behind 50,000 rows, crowded or not, as behind none."""
    noisy, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    seed(other.id, 10, due=timedelta(0))
    alone = pages(Ask(limit=200))
    seed(noisy.id, backlog)
    crowded = Ask(limit=200, rooms=((noisy.id, 0),))
    # The index is some levels deeper; to walk 50,000 rows would take hundreds of pages.
    assert pages(crowded) < 2 * alone
    given = mail.run(claims(*[crowded] * 9))
    assert [owners(claimed) for claimed in given] == [Counter({other.id: 10})] * 9
    forget_leases()
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed) == Counter({other.id: 10, noisy.id: 100})
    assert claimed.hungry == {(noisy.id, "due.example")}


@pytest.mark.behaviour(25)
def test_new_mail_goes_before_mail_that_was_tried_and_does_not_starve_it() -> None:
    house = mail.organisation()
    seed(house.id, 500, lane=1, due=-timedelta(hours=1))
    seed(house.id, 500)
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert lanes(claimed) == {0: 160, 1: 40}
    mail.execute("DELETE FROM relay_queueddelivery WHERE lane = 0")
    (claimed,) = mail.run(claims(Ask(limit=100)))
    assert lanes(claimed) == {1: 100}


def test_where_only_one_may_go_each_lane_has_its_chance() -> None:
    house = mail.organisation()
    seed(house.id, 5, lane=1)
    seed(house.id, 5)
    asks = [Ask(limit=1, chance=chance) for chance in (0.0, 0.79, 0.81)]
    given = mail.run(claims(*asks))
    assert [list(lanes(claimed)) for claimed in given] == [[0], [0], [1]]


@pytest.mark.behaviour(26)
@pytest.mark.parametrize("scope", ["organisation", "domain", "message"])
def test_held_mail_is_left_alone_until_its_hold_ends(scope: str) -> None:
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    for organisation in (house, other):
        seed(organisation.id, 3)
        seed(organisation.id, 2, domain="andet.example")
    message = mail.value(
        "SELECT message_id FROM relay_queueddelivery WHERE organisation_id = %s LIMIT 1", house.id
    )
    with build.as_owner():
        hold = Hold.objects.create(
            organisation=house,
            domain="due.example" if scope == "domain" else None,
            message_id=message if scope == "message" else None,
            held_at=mail.now(),
            ends_at=mail.now() + timedelta(hours=1),
        )
    left = {"organisation": 0, "domain": 2, "message": 4}[scope]
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed) == Counter({other.id: 5, house.id: left})
    # What needs no next hop goes nevertheless; so does all of it once the hold is over.
    forget_leases()
    mail.execute("UPDATE relay_queueddelivery SET lane = 2")
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed)[house.id] == 5
    forget_leases()
    mail.execute("UPDATE relay_queueddelivery SET lane = 1")
    with build.as_owner():
        Hold.objects.filter(id=hold.id).update(ends_at=mail.now())
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed) == Counter({other.id: 5, house.id: 5})


@pytest.mark.behaviour(26)
def test_turn_that_is_shut_gives_only_what_needs_no_next_hop() -> None:
    house = mail.organisation()
    for lane in (0, 1, 2):
        seed(house.id, 2, lane=lane)
    seed(house.id, 3, domain="andet.example")
    (claimed,) = mail.run(claims(Ask(limit=200, left_out=((house.id, "due.example"),))))
    given = Counter(work.domain for work in claimed.works)
    assert given == {"due.example": 2, "andet.example": 3}
    assert lanes(claimed) == {2: 2, 0: 3}


@pytest.mark.behaviour(26)
def test_hold_on_where_mail_goes_leaves_other_recipients_and_organisations_alone() -> None:
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    for organisation in (house, other):
        seed(organisation.id, 3)
        seed(organisation.id, 3, lane=1)
    mail.execute(
        "UPDATE relay_queueddelivery SET recipient = 'ida@modtager.example@ANDET.example' WHERE id"
        " IN (SELECT min(id) FROM relay_queueddelivery WHERE organisation_id = %s GROUP BY lane)",
        house.id,
    )
    with build.as_owner():
        Hold.objects.create(organisation=house, domain="@modtager.example", held_at=mail.now())
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed) == Counter({other.id: 6, house.id: 2})
    forget_leases()
    with build.as_owner():
        Hold.objects.update(domain="@andet.example")
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed) == Counter({other.id: 6, house.id: 4})


@pytest.mark.behaviour(26)
def test_hold_on_what_one_domain_sends_to_another_leaves_that_of_others_alone() -> None:
    house = mail.organisation()
    for sender in ("due.example", "andet.example"):
        for lane in (0, 1):
            seed(house.id, 2, lane=lane, domain=sender)
    with build.as_owner():
        where = "due.example @modtager.example"
        hold = Hold.objects.create(organisation=house, domain=where, held_at=mail.now())
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert Counter(work.domain for work in claimed.works) == {"andet.example": 4}
    forget_leases()
    with build.as_owner():
        Hold.objects.filter(id=hold.id).update(domain="due.example @andet.example")
    (claimed,) = mail.run(claims(Ask(limit=200)))
    assert owners(claimed)[house.id] == 8


def test_turn_without_room_leaves_its_organisations_other_domains_alone() -> None:
    house = mail.organisation()
    seed(house.id, 300)
    seed(house.id, 300, domain="andet.example")
    full = Ask(limit=200, turns=((house.id, "due.example", 0),))
    (claimed,) = mail.run(claims(full))
    assert {work.domain for work in claimed.works} == {"andet.example"}
    partly = Ask(limit=200, turns=((house.id, "due.example", 7),))
    (claimed,) = mail.run(claims(partly))
    assert Counter(work.domain for work in claimed.works) == {
        "andet.example": 100,
        "due.example": 7,
    }


def test_of_a_turn_that_is_left_out_only_what_needs_no_next_hop_is_taken() -> None:
    house = mail.organisation()
    seed(house.id, 30)
    seed(house.id, 3, lane=2)
    seed(house.id, 2, domain="andet.example")
    (claimed,) = mail.run(claims(Ask(limit=200, left_out=((house.id, "due.example"),))))
    assert Counter(work.domain for work in claimed.works) == {"andet.example": 2, "due.example": 3}


def test_organisation_of_many_domains_gets_one_share_and_all_its_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name below a proven one is free to make: thousands must not be thousands of turns."""
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    names = {f"{number:03}.due.example" for number in range(60)}
    for name in names:
        seed(house.id, 10, domain=name)
    seed(other.id, 100)
    monkeypatch.setattr(statements, "DOMAINS_MOST", 25)
    served: set[str] = set()
    resume: tuple[tuple[UUID, str], ...] = ()
    for _ in range(6):
        (claimed,) = mail.run(claims(Ask(limit=20, resume=resume)))
        forget_leases()
        assert owners(claimed) == Counter({house.id: 10, other.id: 10})
        served |= {work.domain for work in claimed.works}
        resume = tuple((who, domain) for who, domain in claimed.resume if domain)
    assert served >= names


def test_very_many_organisations_are_looked_at_over_several_claims(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statements, "ORGANISATIONS_MOST", 40)
    seed(None, 100, due=timedelta(hours=1))
    seed(None, 5)
    ask, found, looks = Ask(limit=200), 0, 0
    while True:
        (claimed,) = mail.run(claims(ask))
        found, looks = found + len(claimed.works), looks + 1
        if claimed.seen is None:
            break
        ask = Ask(limit=200, after=claimed.seen)
    assert (found, looks) == (5, 3)


def test_more_turns_than_asked_for_go_on_after_the_last() -> None:
    seed(None, 12)
    (first,) = mail.run(claims(Ask(limit=5)))
    assert len(first.works) == 5
    assert first.seen == max(work.organisation_id for work in first.works)
    (second,) = mail.run(claims(Ask(limit=5, after=first.seen)))
    assert not {work.organisation_id for work in first.works} & set(owners(second))


@pytest.mark.behaviour(26)
def test_age_of_the_queue_is_of_mail_that_may_go() -> None:
    """Readiness must not fail over what somebody keeps back; every turn and lane counts."""
    house = mail.organisation()
    seed(house.id, 2, domain="andet.example", due=-timedelta(seconds=600), lane=1)
    seed(house.id, 3, due=-timedelta(seconds=60))
    seed(None, 3, due=timedelta(hours=1), lane=1)
    assert 600 <= mail.value("SELECT relay_queue_age()") < 660
    with build.as_owner():
        Hold.objects.create(organisation=house, domain="andet.example", held_at=mail.now())
    assert 60 <= mail.value("SELECT relay_queue_age()") < 120
    mail.execute("UPDATE relay_queueddelivery SET reason = 'route_paused'"
                 " WHERE domain = 'due.example' AND due_at < now()")  # fmt: skip
    assert mail.value("SELECT relay_queue_age()") == 0


@pytest.mark.behaviour(25)
def test_organisations_that_wait_cost_nothing_to_one_that_is_named() -> None:
    """New mail says whose it is, so thousands with mail for later are not looked at for it."""
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    seed(None, 400, due=HOUR_AHEAD)
    seed(house.id, 10)
    seed(other.id, 10)
    everybody, named = pages(Ask(limit=200)), pages(Ask(limit=200, named=(house.id,)))
    given = mail.run(claims(*[Ask(limit=200, named=(house.id,))] * 9))
    assert [owners(claimed) for claimed in given] == [Counter({house.id: 10})] * 9
    assert {claimed.seen for claimed in given} == {None}
    assert named < everybody / 4
