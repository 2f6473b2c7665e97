# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses that get no mail: refused at the edge, cancelled in the queue, found by bounces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation
from relay import outcomes, scopes, suppresswaiting
from relay.explanations import EXPLANATIONS
from relay.models import Delivery, QueuedDelivery, Review, Suppression, messages
from relay.queue import Leased, Tried
from relay.smtp import answers
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.suppressing import fingerprint, normalised, oldest_address, rows_of
from relay.suppressions import forget
from tests import build
from tests.relay import mail
from tests.relay.queue.test_leases import claim, holders, one
from tests.relay.smtp.listening import Raw, Running
from tests.relay.submitting import Journal, credential, domain, plain, serving
from tests.relay.test_submission import MESSAGE

pytestmark = pytest.mark.django_db(transaction=True)

HARD = Outcome(
    verdict=Verdict.BOUNCED, scope=Scope.RECIPIENT, code=550, enhanced="5.1.1", is_hard=True
)


def suppress(house: Organisation, address: str, domain: str = "", **fields: object) -> Suppression:
    values = {"reason": "by_person", "created_at": mail.now(), "address": address} | fields
    with build.as_owner():
        return Suppression.objects.create(
            organisation=house,
            address_hash=fingerprint(house.id, address),
            domain=domain,
            **values,
        )


@pytest.fixture
def house() -> Organisation:
    made = mail.organisation()
    domain(made, "firma.example")
    domain(made, "shop.example")
    credential(made)
    return made


@pytest.fixture
def server() -> Iterator[Running]:
    with serving(Journal()) as running:
        yield running


def answers_to(server: Running, sender: str, *recipients: str) -> list[bytes]:
    with Raw(server.port) as raw:
        client = raw.sign_in(plain("anna"))
        client.send(f"MAIL FROM:<{sender}>\r\n".encode())
        replies = [client.reply()]
        for recipient in recipients:
            client.send(f"RCPT TO:<{recipient}>\r\n".encode())
            replies.append(client.reply())
    return replies


@pytest.mark.behaviour(6)
def test_address_on_the_list_is_refused_and_the_others_pass(
    server: Running, house: Organisation
) -> None:
    suppress(house, "nej@tak.example")
    suppress(mail.organisation("Andet Hus A/S"), "ja@tak.example")
    suppress(house, "udgik@tak.example", expires_at=mail.now() - timedelta(seconds=1))
    _, first, second, third = answers_to(
        server, "a@firma.example", "Nej@TAK.example", "ja@tak.example", "udgik@tak.example"
    )
    assert first.startswith(b"550 5.7.1 This address is on your list")
    assert answers.SUPPRESSED.anchor in EXPLANATIONS
    assert [second[:3], third[:3]] == [b"250", b"250"]


def test_list_of_one_domain_is_about_its_mail_alone(server: Running, house: Organisation) -> None:
    suppress(house, "nej@tak.example", domain="firma.example")
    for sender, code in [
        ("a@firma.example", b"550"),
        ("a@mail.firma.example", b"550"),
        ("a@shop.example", b"250"),
        ("", b"250"),
    ]:
        _, answer = answers_to(server, sender, "nej@tak.example")
        assert answer[:3] == code, sender


def test_null_reverse_path_hides_no_list_of_one_domain(
    server: Running, house: Organisation
) -> None:
    suppress(house, "nej@tak.example", domain="firma.example")
    for author, code in [(b"mail.firma.example", b"550"), (b"shop.example", b"250")]:
        with Raw(server.port) as raw:
            client = raw.sign_in(plain("anna"))
            client.begin(b"ja@tak.example", b"nej@tak.example", sender=b"")
            client.send(b"From: a@" + author + b"\r\n\r\nhej\r\n.\r\n")
            assert client.reply()[:3] == code, author


def test_domain_whose_mail_came_back_is_put_off_until_somebody_decides(
    server: Running, house: Organisation
) -> None:
    with build.as_owner():
        row = Review.objects.create(
            organisation=house, domain="firma.example", opened_at=mail.now(), done=400, hard=40
        )
    (stopped,) = answers_to(server, "a@firma.example")
    assert stopped.startswith(b"451 4.7.1 Too much mail from this domain came back")
    (other,) = answers_to(server, "a@shop.example")
    assert other[:3] == b"250"
    # Under the null reverse-path the domain shows in the header only.
    with Raw(server.port) as raw:
        client = raw.sign_in(plain("anna"))
        for line in (b"MAIL FROM:<>\r\n", b"RCPT TO:<ida@x.example>\r\n", b"DATA\r\n"):
            client.send(line)
            client.reply()
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith(b"451 4.7.1")
    with build.as_owner():
        Review.objects.filter(pk=row.pk).update(decision="resumed", decided_at=mail.now())
    with serving(Journal()) as again:
        (resumed,) = answers_to(again, "a@firma.example")
    assert resumed[:3] == b"250"


def test_address_is_known_however_it_is_written() -> None:
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    plain_form = "blåbær@bøger.example"
    for written in ("Blåbær@XN--BGER-GRA.example", " bla\u030abær@bøger.example"):
        assert normalised(written) == normalised(plain_form)
    assert fingerprint(house.id, plain_form) != fingerprint(other.id, plain_form)
    rows = [suppress(one, plain_form) for one in (house, other)]
    suppress(house, "anden@bøger.example")
    with build.as_role("duty"):
        assert set(rows_of("BLÅBÆR@bøger.example")) == {row.id for row in rows}


@pytest.mark.parametrize(
    ("outcome", "is_sandbox", "suppresses"),
    [
        (HARD, False, True),
        (HARD, True, False),
        (replace(HARD, is_hard=False), False, False),
        (replace(HARD, is_hard=False, scope=Scope.POLICY), False, False),
    ],
)
def test_only_an_address_that_does_not_exist_comes_to_the_list(
    outcome: Outcome, is_sandbox: bool, suppresses: bool
) -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id, "Erik@modtager.example"))
        async with holders() as (holder,):
            work = replace(await one(holder), is_sandbox=is_sandbox)
            tried = Tried(started_at=mail.now(), finished_at=mail.now(), outcome=outcome)
            (lease,) = work.deliveries
            await holder.settle(work, (outcomes.judged(work, lease, tried, lambda: 0.5),))

    mail.run(scenario())
    wanted = fingerprint(house.id, "erik@modtager.example")
    found = [(bytes(hash_), why) for hash_, why in mail.rows(
        "SELECT address_hash, reason FROM relay_suppression")]  # fmt: skip
    assert found == ([(wanted, "hard_bounce")] if suppresses else [])


def test_mail_that_waits_for_a_new_address_is_cancelled_and_says_why() -> None:
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    to = ("Nej@bøger.example", "nej@xn--bger-gra.example", "ja@bøger.example")
    message = mail.message(house.id, *to)
    mail.run(mail.keep(message, mail.message(other.id, "nej@xn--bger-gra.example")))
    row = suppress(house, "nej@xn--bger-gra.example")
    elsewhere = suppress(house, "ja@bøger.example", domain="anden.example")
    with build.as_role("duty"):
        assert suppresswaiting.cancel(elsewhere.id, mail.now()) == 0
        assert suppresswaiting.cancel(row.id, mail.now()) == 2
        marked = QueuedDelivery.objects.exclude(cancelled_at=None).order_by("position")
        assert [row.reason for row in marked] == ["suppressed", "suppressed"]

    leases = mail.run(_claimed(message.id))
    assert [outcomes.cancelled(lease, mail.now()).reason for lease in leases] == [
        Delivery.FinalReason.SUPPRESSED
    ] * 2


def test_mail_that_waits_for_addresses_of_a_file_is_cancelled(monkeypatch) -> None:
    monkeypatch.setattr(suppresswaiting, "TOGETHER", 2)
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")
    to = tuple(f"r{n}@modtager.example" for n in range(6))
    mail.run(mail.keep(mail.message(house.id, *to), mail.message(other.id, *to)))
    suppress(house, to[0], reason="imported")
    suppress(house, to[1], reason="objection")
    suppress(house, to[2], reason="imported", domain=mail.message(house.id).domain)
    suppress(house, to[3], reason="imported", created_at=mail.now() - timedelta(hours=2))
    suppress(house, to[4])
    suppress(house, to[5], reason="imported", domain="andet.example")
    with build.as_role("duty"):
        assert suppresswaiting.cancel_imported(house.id, mail.now()) == 3
        marked = QueuedDelivery.objects.filter(reason="suppressed").order_by("position")
        assert [(row.organisation_id, row.recipient) for row in marked] == [
            (house.id, address) for address in to[:3]
        ]


def test_mail_for_others_is_not_gone_through_for_a_new_address(monkeypatch) -> None:
    monkeypatch.setattr(scopes, "PIECE", 1)
    house = mail.organisation()
    message = mail.message(house.id, "nej@modtager.example", "ja@modtager.example")
    mail.run(mail.keep(message, *(mail.message(house.id) for _ in range(20))))
    row = suppress(house, "nej@modtager.example")
    with build.as_role("duty"), CaptureQueriesContext(connection) as asked:
        assert suppresswaiting.cancel(row.id, mail.now()) == 1
    assert len(asked) < 12
    assert mail.rows("SELECT recipient FROM relay_queueddelivery WHERE reason = 'suppressed'") == [
        ("nej@modtager.example",)
    ]


async def _claimed(message_id: UUID) -> list[Leased]:
    async with holders() as (holder,):
        works = await claim(holder)
        return [
            lease
            for work in works
            if work.message_id == message_id
            for lease in work.deliveries
            if lease.is_cancelled
        ]


def test_addresses_are_forgotten_with_the_log_and_rows_when_they_expire() -> None:
    house, now = mail.organisation(), mail.now()
    soon, later = now + timedelta(minutes=59), now + timedelta(minutes=61)
    kept = suppress(house, "a@x.example", address_until=soon)
    suppress(house, "b@x.example", address_until=later)
    suppress(house, "c@x.example", expires_at=now - timedelta(seconds=1))
    with build.as_role("duty"):
        assert forget(now) == 1
        rows = dict(Suppression.objects.values_list("id", "address"))
        assert rows[kept.id] is None
        assert sorted(filter(None, rows.values())) == ["b@x.example"]
        assert oldest_address() == later - timedelta(days=messages.LOG_DAYS)
        assert len(rows) == 2
