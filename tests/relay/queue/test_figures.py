# SPDX-License-Identifier: AGPL-3.0-or-later
"""Figures, ends and suppressions are written in the commits of the mail that they are about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from relay import sweeping
from relay.models import messages
from relay.queue import Leased, Logged, Settlement, Tried
from relay.smtp.replies import Outcome, Scope, Verdict
from tests import build
from tests.relay import mail
from tests.relay.queue.test_leases import deferred, delivered, holders, one

pytestmark = pytest.mark.django_db(transaction=True)

SUM = (
    "SELECT domain, sum(messages), sum(octets), sum(accepted), sum(delivered), sum(deferred),"
    " sum(bounced_hard), sum(bounced_soft), sum(blocked), sum(expired), sum(cancelled),"
    " sum(sandboxed) FROM relay_count GROUP BY domain ORDER BY domain"
)
NO_SUCH = Outcome(
    verdict=Verdict.BOUNCED, scope=Scope.RECIPIENT, code=550, enhanced="5.1.1", is_hard=True
)


def ended(lease: Leased, state: str, outcome: Outcome | None = None, **more: Any) -> Settlement:
    now = mail.now()
    tried = Tried(started_at=now, finished_at=now, outcome=outcome, kind="own") if outcome else None
    return Settlement(delivery=lease, state=state, at=now, tried=tried, **more)


def settle(*settlements: Any) -> None:
    """Settle the deliveries of one message, each by one of the functions given."""

    async def scenario() -> None:
        async with holders() as (holder,):
            work = await one(holder)
            made = [how(lease) for how, lease in zip(settlements, work.deliveries, strict=True)]
            await holder.settle(work, tuple(made))

    mail.run(scenario())


def test_what_comes_in_and_what_becomes_of_it_is_counted() -> None:
    house = mail.organisation()
    names = [f"{name}@modtager.example" for name in ("a", "b", "c", "d", "e", "f", "g")]
    first = mail.message(house.id, *names)
    tried_out = mail.message(house.id, is_sandbox=True)
    mail.run(mail.keep(first, mail.message(house.id, ago=timedelta(minutes=7))))
    mail.execute("UPDATE relay_queueddelivery SET due_at = now() + interval '1 hour'"
                 " WHERE message_id <> %s", first.id)  # fmt: skip
    policy = replace(NO_SUCH, scope=Scope.POLICY, is_hard=False)
    settle(
        delivered,
        deferred,
        lambda lease: ended(lease, "bounced", NO_SUCH),
        lambda lease: ended(lease, "bounced", policy),
        lambda lease: ended(lease, "bounced", replace(policy, scope=Scope.RECIPIENT)),
        lambda lease: ended(lease, "expired"),
        lambda lease: ended(lease, "cancelled"),
    )
    mail.run(mail.keep(tried_out))
    settle(lambda lease: ended(lease, "sandboxed"))
    size = len(mail.CONTENT)
    assert mail.rows(SUM) == [
        ("", 1, size, 1, 0, 0, 0, 0, 0, 0, 0, 1),
        ("due.example", 2, 2 * size, 8, 1, 1, 1, 1, 1, 1, 1, 0),
    ]
    assert mail.value("SELECT count(*) FROM relay_count WHERE extract(minute FROM starts_at)::int"
                      " %% 5 <> 0 OR span <> 5") == 0  # fmt: skip


def test_ends_but_deliveries_are_found_by_their_state() -> None:
    house = mail.organisation()
    mail.run(mail.keep(mail.message(house.id, "a@modtager.example", "b@modtager.example")))
    settle(delivered, lambda lease: ended(lease, "bounced", NO_SUCH))
    found = mail.rows(
        "SELECT e.position, e.state, e.organisation_id FROM relay_ending e JOIN relay_message m"
        " ON m.id = e.message_id AND m.accepted_at = e.accepted_at"
    )
    assert found == [(1, "bounced", house.id)]
    assert mail.rows("SELECT kind, scope, is_hard FROM relay_attempt ORDER BY position") == [
        ("", "recipient", False),
        ("own", "recipient", True),
    ]


def test_mail_that_the_sweep_ends_is_counted_and_found() -> None:
    house = mail.organisation()
    mail.run(mail.keep(mail.message(house.id, "a@modtager.example", "b@modtager.example")))
    mail.execute("UPDATE accounts_organisation SET standing = 'closed'")
    with build.as_role("duty"):
        assert sweeping.end_closed(mail.now()) == 2
    assert mail.value("SELECT sum(cancelled) FROM relay_count") == 2
    assert mail.value("SELECT count(*) FROM relay_ending WHERE state = 'cancelled'") == 2


def test_address_that_does_not_exist_is_suppressed_in_the_same_commit(settings: Settings) -> None:
    settings.SUPPRESSION_DAYS = 10
    house = mail.organisation()
    mail.run(mail.keep(mail.message(house.id, "Erik@modtager.example", "erik@modtager.example")))
    gone = [lambda lease: ended(lease, "bounced", NO_SUCH, suppress=b"x" * 32)] * 2
    settle(*gone)
    rows = "SELECT address, domain, reason, hits, address_until - created_at < %s, expires_at"
    days = timedelta(days=messages.LOG_DAYS, minutes=1)
    ((address, domain, reason, hits, is_bounded, first),) = mail.rows(
        f"{rows} FROM relay_suppression", days
    )
    assert (address, domain, reason, hits, is_bounded) == (
        "erik@modtager.example",
        "",
        "hard_bounce",
        1,
        True,
    )
    settings.SUPPRESSION_DAYS = 5
    mail.run(mail.keep(mail.message(house.id)))
    settle(gone[0])
    found = mail.rows("SELECT hits, expires_at FROM relay_suppression")
    assert found == [(2, first)]


def test_what_the_log_was_chosen_to_hold_is_stored_with_the_mail() -> None:
    house = mail.organisation()
    message = mail.message(house.id, "a@modtager.example", "b@modtager.example", notify="NEVER")
    logged = Logged(
        profile="headers",
        subject="Fælles hilsen",
        names=("Erik", ""),
        header="Subject: x",
        header_hash=b"h" * 16,
    )
    mail.run(mail.keep(replace(message, logged=logged, tls_optional=True), mail.message(house.id)))
    wanted = ("headers", "Fælles hilsen", "Subject: x")
    assert mail.rows(
        "SELECT m.profile, m.subject, h.header FROM relay_message m"
        " JOIN relay_messageheader h ON h.message_id = m.id AND h.accepted_at = m.accepted_at"
        " WHERE m.header_hash IS NOT NULL"
    ) == [wanted]
    assert mail.rows("SELECT display_name, tells_failure FROM relay_delivery ORDER BY 2, 1") == [
        ("", False),
        ("Erik", False),
        ("", True),
    ]
    assert mail.rows("SELECT tls_optional FROM relay_content ORDER BY 1") == [(False,), (True,)]
