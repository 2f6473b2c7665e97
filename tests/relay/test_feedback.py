# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is told of mail after it left: in any order, any number of times, and to whom it matters."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from accounts.ids import uuid7
from accounts.models import Organisation
from relay import suppressing
from relay.feedback import Event, Feedback, Taken, opened
from relay.limits import SharedCounters
from relay.models import Suppression
from relay.models.messages import LOG_DAYS
from relay.notices import NoticeLimit
from relay.queue import Ask, Leases, Work, returned
from relay.queue.returned import SAME_WITHIN
from tests import build
from tests.relay import mail
from tests.relay.test_restriction import restrict

pytestmark = pytest.mark.django_db(transaction=True)

ERIK = "erik@modtager.example"
STATES = "SELECT state, final_reason FROM relay_delivery WHERE message_id = %s ORDER BY position"
REPORTS = (
    "SELECT position, number, kind, code, enhanced FROM relay_report WHERE message_id = %s"
    " ORDER BY position, number"
)
NOTICES = "SELECT count(*) FROM relay_message WHERE is_notification"
HARD: dict[str, Any] = {"scope": "recipient", "is_hard": True, "code": 550, "enhanced": "5.1.1"}


def sent(house: Organisation, *recipients: str, state: str = "delivered", **of: Any) -> UUID:
    """A mail that has left, as the log has it."""
    message = mail.message(house.id, *recipients, **of)
    mail.run(mail.keep(message))
    if state != "waiting":
        mail.execute("DELETE FROM relay_queueddelivery")
        mail.execute("DELETE FROM relay_content")
    mail.execute("UPDATE relay_delivery SET state = %s", state)
    return message.id


def event(message_id: UUID, position: int | None = 0, **told: Any) -> Event:
    facts: dict[str, Any] = {"source": "bounce", "kind": "failed"}
    return Event(message_id=message_id, position=position, **facts | told)


def feedback(
    *, ahead: timedelta = timedelta(), patience: float = 0.0, most: int = 60, **options: Any
) -> Feedback:
    def now() -> datetime:
        return mail.now() + ahead

    return Feedback(
        mail.dsn(),
        mail.sealer(),
        NoticeLimit(SharedCounters(settings.REDIS_URL), now, most),
        hostname="relay.brevdue.example",
        now=now,
        patience=patience,
        **options,
    )


def take(*events: Event, **options: Any) -> list[Taken]:
    """Tell one after the other, and say what became of each."""

    async def told() -> list[Taken]:
        taking = feedback(**options)
        try:
            return [await taking.take(one) for one in events]
        finally:
            await taking.close()

    return mail.run(told())


def suppressed() -> list[tuple[Any, ...]]:
    return mail.rows(
        "SELECT address, reason, expires_at IS NULL, hits FROM relay_suppression ORDER BY address"
    )


@pytest.mark.behaviour(45)
def test_delivered_mail_may_still_come_back(house: Organisation) -> None:
    message = sent(house)
    assert take(event(message, code=550, enhanced="5.7.1")) == [Taken.TAKEN]
    assert mail.rows(STATES, message) == [("bounced", "returned")]
    assert mail.rows(REPORTS, message) == [(0, 1, "failed", 550, "5.7.1")]
    assert mail.rows("SELECT message_id, state FROM relay_ending") == [(message, "bounced")]
    assert mail.value("SELECT sum(returned) FROM relay_count WHERE domain = 'due.example'") == 1


def test_only_an_address_that_does_not_exist_speaks_against_the_domain(house: Organisation) -> None:
    take(event(sent(house), code=550, enhanced="5.7.1", scope="policy"), event(sent(house), **HARD))
    figures = "SELECT sum(returned), sum(returned_hard) FROM relay_count"
    assert mail.rows(figures) == [(2, 1)]


@pytest.mark.behaviour(45)
def test_report_that_overtakes_its_delivery_is_put_off(house: Organisation) -> None:
    message = sent(house, state="waiting")
    assert take(event(message)) == [Taken.LATER]
    assert mail.rows(REPORTS, message) == []
    assert mail.rows(STATES, message) == [("waiting", "")]


def test_report_waits_a_moment_for_a_delivery_that_is_being_written(house: Organisation) -> None:
    message = sent(house, state="waiting")
    looks: list[datetime] = []

    def now() -> datetime:
        looks.append(mail.now())
        return looks[-1]

    async def told() -> Taken:
        taking = feedback(patience=60.0)
        taking._now = now
        telling = asyncio.create_task(taking.take(event(message)))
        # Each try looks twice: with the third look, one try has ended.
        while len(looks) < 3:
            await asyncio.sleep(0.01)
        async with await mail.session() as relay:
            await relay.execute("UPDATE relay_delivery SET state = 'delivered'")
        try:
            return await telling
        finally:
            await taking.close()

    assert mail.run(told()) is Taken.TAKEN
    assert mail.rows(STATES, message) == [("bounced", "returned")]


@pytest.mark.behaviour(45)
@pytest.mark.parametrize("state", ["bounced", "expired", "cancelled"])
def test_what_ended_otherwise_is_never_delivered_afterwards(
    house: Organisation, state: str
) -> None:
    message = sent(house, state=state)
    assert take(event(message, kind="delivered"), event(message)) == [Taken.TAKEN] * 2
    assert mail.rows(STATES, message) == [(state, "")]
    assert [row[2] for row in mail.rows(REPORTS, message)] == ["delivered", "failed"]
    assert mail.value(NOTICES) == 0


def test_delay_and_delivery_are_logged_in_the_order_they_are_told(house: Organisation) -> None:
    message = sent(house)
    take(event(message, kind="delayed"), event(message, kind="delivered"))
    assert [row[1:3] for row in mail.rows(REPORTS, message)] == [(1, "delayed"), (2, "delivered")]
    assert mail.rows(STATES, message) == [("delivered", "")]


def test_same_told_twice_counts_once(house: Organisation) -> None:
    message = sent(house)
    assert take(event(message), event(message), event(message, source="esp")) == [Taken.TAKEN] * 3
    assert len(mail.rows(REPORTS, message)) == 2
    assert mail.value("SELECT sum(returned) FROM relay_count") == 1
    assert mail.value(NOTICES) == 1
    take(event(message), ahead=SAME_WITHIN + timedelta(minutes=1))
    assert len(mail.rows(REPORTS, message)) == 3
    assert mail.value(NOTICES) == 1


@pytest.mark.behaviour(41)
def test_two_processes_with_the_same_report_tell_once(house: Organisation) -> None:
    message = sent(house)

    async def told() -> None:
        both = feedback(), feedback()
        await asyncio.gather(*(one.take(event(message)) for one in both))
        for one in both:
            await one.close()

    mail.run(told())
    assert len(mail.rows(REPORTS, message)) == 1
    assert mail.value(NOTICES) == 1


# Who gets no more mail


@pytest.mark.behaviour(42)
def test_address_that_is_gone_gets_no_more_mail(house: Organisation) -> None:
    message = sent(house)
    take(event(message, addresses=(ERIK,), **HARD))
    assert suppressed() == [(ERIK, "hard_bounce", False, 1)]
    known_by = mail.value("SELECT address_hash FROM relay_suppression")
    assert bytes(known_by) == suppressing.fingerprint(house.id, ERIK.upper())
    kept = mail.value("SELECT address_until - created_at FROM relay_suppression")
    assert kept == timedelta(days=LOG_DAYS)
    period = mail.value("SELECT expires_at - created_at FROM relay_suppression")
    assert period == timedelta(days=settings.SUPPRESSION_DAYS)


@pytest.mark.parametrize(
    "told",
    [
        HARD | {"is_hard": False},
        HARD | {"scope": "policy"},
        HARD | {"scope": "infrastructure"},
        HARD | {"kind": "delayed"},
        HARD | {"kind": "delivered"},
        HARD | {"addresses": ("bo@andetsteds.example",)},
    ],
)
def test_whatever_is_not_about_the_address_costs_it_nothing(
    house: Organisation, told: dict[str, Any]
) -> None:
    take(event(sent(house), **told))
    assert suppressed() == []


@pytest.mark.parametrize("address", ["Erik", "ERIK@inner.modtager.example", ERIK])
def test_servers_may_know_the_address_by_a_name_of_their_own(
    house: Organisation, address: str
) -> None:
    take(event(sent(house), addresses=(address,), **HARD))
    assert [row[0] for row in suppressed()] == [ERIK]


def test_complaint_stands_whatever_bounces(house: Organisation) -> None:
    first, second = sent(house), sent(house)
    take(event(first, **HARD), event(second, kind="complained", source="esp"))
    assert suppressed() == [(ERIK, "complaint", True, 2)]
    take(event(sent(house), **HARD))
    assert suppressed() == [(ERIK, "complaint", True, 3)]
    assert mail.rows(STATES, second) == [("delivered", "")]
    assert mail.value("SELECT sum(complained) FROM relay_count") == 1


@pytest.mark.parametrize(
    ("listed", "told"), [("by_person", "complaint"), ("imported", "complaint"), ("objection",) * 2]
)
def test_complaint_is_told_of_an_address_that_a_person_had_listed(
    house: Organisation, listed: str, told: str
) -> None:
    """Who complained is taken off by nobody who does not confirm it."""
    with build.as_owner():
        Suppression.objects.create(
            organisation=house,
            address_hash=suppressing.fingerprint(house.id, ERIK),
            reason=listed,
            created_at=mail.now(),
        )
    take(event(sent(house), kind="complained", source="esp"))
    assert [row[1] for row in suppressed()] == [told]


def test_erased_recipient_is_never_listed_anew(house: Organisation) -> None:
    message = sent(house)
    mail.execute("UPDATE relay_delivery SET recipient = ''")
    assert take(event(message, **HARD)) == [Taken.TAKEN]
    assert suppressed() == []
    assert mail.value(NOTICES) == 0


# Whom it is about


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("BO@modtager.example",), ["delivered", "bounced", "delivered"]),
        (("x@relay.example", "ida@modtager.example"), ["delivered", "delivered", "bounced"]),
        (("bo@inner.example",), ["delivered", "bounced", "delivered"]),
        (("erik@inner.example",), ["bounced", "delivered", "delivered"]),
        (("nobody@modtager.example",), ["delivered"] * 3),
        ((), ["delivered"] * 3),
    ],
)
def test_report_on_one_of_several_says_whom(
    house: Organisation, addresses: tuple[str, ...], expected: list[str]
) -> None:
    message = sent(house, ERIK, "bo@modtager.example", "ida@modtager.example")
    (taken,) = take(event(message, None, addresses=addresses))
    assert [state for state, _ in mail.rows(STATES, message)] == expected
    assert taken is (Taken.TAKEN if "bounced" in expected else Taken.UNKNOWN)


def test_namesakes_are_told_apart_or_left_alone(house: Organisation) -> None:
    message = sent(house, ERIK, "erik@andetsteds.example")
    assert take(event(message, None, addresses=("erik@inner.example",))) == [Taken.UNKNOWN]
    assert take(event(message, None, addresses=("erik@andetsteds.example",))) == [Taken.TAKEN]
    assert [state for state, _ in mail.rows(STATES, message)] == ["delivered", "bounced"]


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("erik", 1),
        ("erik@mx.modtager.example", 1),
        ("erik@MODTAGER.example", 1),
        ("erik@andetsteds.example", 0),
    ],
)
def test_namesake_elsewhere_may_be_where_mail_is_sent_on_to(
    house: Organisation, address: str, listed: int
) -> None:
    take(event(sent(house), addresses=(address,), **HARD))
    assert mail.value("SELECT count(*) FROM relay_suppression") == listed


@pytest.mark.behaviour(42)
def test_path_that_several_share_suppresses_none_of_them(house: Organisation) -> None:
    """Each of them can read it in their own mail, and report another gone."""
    message = sent(house, ERIK, "ida@modtager.example")
    taken = take(event(message, None, addresses=("ida@modtager.example",), **HARD))
    assert taken == [Taken.TAKEN]
    assert len(mail.rows(REPORTS, message)) == 1
    assert suppressed() == []


@pytest.mark.behaviour(42)
@pytest.mark.parametrize("told", [HARD, {"kind": "complained"}], ids=["gone", "complained"])
@pytest.mark.parametrize(
    ("source", "address", "listed"),
    [
        ("esp", "IDA@modtager.example", ["ida@modtager.example"]),
        ("esp", "ida@inner.modtager.example", []),
        ("esp", "ida@andetsteds.example", []),
        ("bounce", "ida@modtager.example", []),
    ],
)
def test_one_of_several_is_listed_only_by_a_provider_that_names_it(
    house: Organisation, source: str, address: str, listed: list[str], told: dict[str, Any]
) -> None:
    message = sent(house, ERIK, "ida@modtager.example")
    taken = take(event(message, None, source=source, addresses=(address,), **told))
    assert taken == [Taken.TAKEN]
    assert [row[0] for row in suppressed()] == listed


@pytest.mark.behaviour(42)
@pytest.mark.parametrize("addresses", [("ida@modtager.example",), ()])
def test_who_is_left_of_several_does_not_stand_for_who_is_gone(
    house: Organisation, addresses: tuple[str, ...]
) -> None:
    """The other's row was erased: what is told of that one is not about this one."""
    message = sent(house)
    take(event(message, None, source="esp", kind="complained", addresses=addresses))
    assert suppressed() == []


def test_only_recipient_needs_no_name(house: Organisation) -> None:
    message = sent(house)
    assert take(event(message, None)) == [Taken.TAKEN]


@pytest.mark.parametrize("ago", [timedelta(), timedelta(days=LOG_DAYS + 10)])
def test_what_the_log_does_not_have_is_nothing(house: Organisation, ago: timedelta) -> None:
    assert take(event(uuid7(mail.now() - ago))) == [Taken.UNKNOWN]
    assert take(event(sent(house), 7)) == [Taken.UNKNOWN]


# Who is told


def test_sender_is_told_without_a_word_of_the_mail(house: Organisation) -> None:
    message = sent(house, content=b"Subject: hemmelig\r\n\r\nGrus.\r\n")
    take(event(message, text="<erik@modtager.example> unknown", **HARD))
    notice, text = waiting_notice(house)
    assert (notice.sender, notice.domain) == ("", "due.example")
    assert [one.recipient.address for one in notice.deliveries] == ["post@due.example"]
    words, *_ = message_from_bytes(text, policy=policy.default).iter_parts()
    assert str(message) in words.get_content()
    assert b"Status: 5.1.1" in text
    assert b"Action: failed" in text
    assert b"hemmelig" not in text


def test_sender_is_not_told_whose_mail_came_back_where_that_is_restricted(
    house: Organisation,
) -> None:
    message = sent(house)
    restrict(house, ERIK)
    take(event(message, text="<erik@modtager.example> unknown", **HARD))
    _, text = waiting_notice(house)
    assert b"Status: 5.1.1" in text
    words, *_ = message_from_bytes(text, policy=policy.default).iter_parts()
    assert str(message) in words.get_content()
    assert b"erik" not in text


def waiting_notice(house: Organisation) -> tuple[Work, bytes]:
    """The only mail that waits, and its content."""

    async def read() -> tuple[Work, bytes]:
        sealer = mail.sealer()
        leases = Leases(mail.dsn(), sealer, mail.now)
        await leases.start()
        try:
            (work,) = (await leases.claim(Ask(limit=2))).works
            await leases.learn({house.id})
            assert work.ciphertext is not None
            return work, sealer.open(work, work.ciphertext)
        finally:
            await leases.stop()

    return mail.run(read())


@pytest.mark.behaviour(41)
@pytest.mark.parametrize(
    "of",
    [
        {"sender": "", "author_domain": "due.example"},
        {"notify": "NEVER"},
        {"notify": "SUCCESS,DELAY"},
    ],
)
def test_nobody_is_told_who_does_not_want_it(house: Organisation, of: dict[str, Any]) -> None:
    message = sent(house, **of)
    take(event(message))
    assert mail.rows(STATES, message) == [("bounced", "returned")]
    assert mail.value(NOTICES) == 0


@pytest.mark.behaviour(41)
def test_notice_that_comes_back_brings_no_other(house: Organisation) -> None:
    notice = mail.notice(house.id)
    mail.run(mail.keep(notice))
    mail.execute("UPDATE relay_delivery SET state = 'delivered'")
    take(event(notice.id))
    assert mail.value(NOTICES) == 1


def test_above_the_limit_the_log_alone_has_it(house: Organisation) -> None:
    first, second = sent(house), sent(house, ERIK)
    take(event(first), event(second, **HARD), most=1)
    assert mail.value(NOTICES) == 1
    assert [mail.rows(STATES, one) for one in (first, second)] == [[("bounced", "returned")]] * 2
    assert [row[0] for row in suppressed()] == [ERIK]


def test_words_of_the_other_server_are_masked_in_the_log(house: Organisation) -> None:
    message = sent(house)
    take(
        event(
            message,
            addresses=("e.hansen@inner.example",),
            text="erik is gone, so is <e.hansen@inner.example>",
        )
    )
    reply = mail.value("SELECT reply FROM relay_report")
    assert reply == "*** is gone, so is <***>"


def test_key_that_is_closed_meanwhile_is_left_for_another(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = sent(house)
    wrote: list[int] = []
    reported = returned.report

    async def report(*arguments: Any) -> bool:
        if not wrote:
            async with await mail.session() as relay:
                await relay.execute(
                    "UPDATE relay_hourkey SET closed_at = now() WHERE closed_at IS NULL"
                )
        wrote.append(1)
        return await reported(*arguments)

    monkeypatch.setattr(returned, "report", report)
    assert take(event(message)) == [Taken.TAKEN]
    assert len(wrote) == 2
    assert len(mail.rows(REPORTS, message)) == 1
    assert mail.value(NOTICES) == 1


def test_process_opens_one_by_its_settings(house: Organisation) -> None:
    message = sent(house)

    async def told() -> Taken:
        async with opened() as taking:
            return await taking.take(event(message))

    # The settings' own database is the owner's in tests, as which no row is hidden.
    assert mail.run(told()) is Taken.TAKEN
