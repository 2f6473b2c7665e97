# SPDX-License-Identifier: AGPL-3.0-or-later
"""Notifications of servers that send without a secret, from networks that several organisations
name: From says whose they are, and nobody who names another's network has anything of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from django.conf import settings

from accounts.models import Organisation
from relay.limits import Allowance, SharedCounters, SignInGate
from relay.models import Credential, Suppression
from relay.senders import Senders
from relay.smtp.policy import Client
from relay.submission import SignedIn, Submission, Undecided
from relay.suppressing import fingerprint
from tests import build
from tests.relay import mail
from tests.relay.smtp.listening import Raw
from tests.relay.submitting import Journal, by_network, domain, serving

pytestmark = pytest.mark.django_db(transaction=True)

HERE = "127.0.0.1"
Houses = dict[str, Organisation]


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def houses() -> Houses:
    """Both name this network; it is the server of the first that speaks from there."""
    found = {name: mail.organisation(name) for name in ("firma", "mallory")}
    for name, house in found.items():
        domain(house, f"{name}.example")
        by_network(name, "127.0.0.0/8", of=house)
    return found


@contextmanager
def greeted(journal: Journal, name: str = "EXCH01.corp.local") -> Iterator[Raw]:
    with serving(journal) as running, Raw(running.port) as raw:
        assert raw.reply()[:3] == b"220"
        assert raw.code(f"EHLO {name}".encode()) == 250
        yield raw


def notify(raw: Raw, fields: bytes, recipients: int = 1) -> bytes:
    """Send a notification with these fields; the last reply."""
    raw.begin(*(b"r%d@other.example" % number for number in range(recipients)), sender=b"")
    raw.send(fields + b"\r\n\r\nhej\r\n.\r\n")
    return raw.reply()


def recognised() -> SignedIn | Undecided | None:
    """What the policy knows of the server at MAIL FROM:<>."""

    async def scenario() -> SignedIn | Undecided | None:
        senders, counters = Senders(mail.dsn(), mail.now), SharedCounters(settings.REDIS_URL)
        policy = Submission(
            senders=senders, store=Journal(), allowance=Allowance(counters),
            gate=SignInGate(counters), hostname="relay.example", now=mail.now,
        )  # fmt: skip
        found = await policy.recognise(Client(HERE), None)
        await senders.close()
        await counters.close()
        return found

    return mail.run(scenario())


@pytest.mark.behaviour(8)
@pytest.mark.parametrize(
    "name", ["[192.0.2.1]", "EXCH01.corp.local", "mx.firma.example.", "mx.mallory.example"]
)
def test_null_path_is_whose_from_is_whoever_else_names_the_network(
    houses: Houses, journal: Journal, name: str
) -> None:
    """Whatever the server calls itself."""
    owners = ["firma", "mallory", "firma"]
    with greeted(journal, name) as raw:
        for owner in owners:
            assert notify(raw, f"From: postmaster@mx.{owner}.example".encode())[:3] == b"250"
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
    stored = [(one.organisation_id, one.author_domain) for one in journal.messages]
    assert stored == [(houses[owner].id, f"mx.{owner}.example") for owner in owners]
    assert b"by relay.example with ESMTP\r\n" in journal.messages[0].content


@pytest.mark.behaviour(14)
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (b"From: a@other.example", b"550 5.7.1 From does not say which credential"),
        (b"From: a@notfirma.example", b"550 5.7.1 From does not say which credential"),
        (b"From: a@firma.example\r\nSender: m@mallory.example", b"550 5.7.1 From or Sender"),
        (b"From: a@firma.example, m@mallory.example", b"550 5.7.1 From or Sender"),
        (b"Resent-From: m@mallory.example\r\nFrom: a@firma.example", b"550 5.7.1 From or Sender"),
    ],
)
def test_null_path_of_a_shared_network_is_nobodys_who_has_not_proven_from(
    houses: Houses, journal: Journal, fields: bytes, said: bytes
) -> None:
    with greeted(journal) as raw:
        assert notify(raw, fields).startswith(said)
        assert notify(raw, b"From: a@firma.example")[:3] == b"250"
    assert [one.organisation_id for one in journal.messages] == [houses["firma"].id]


@pytest.mark.behaviour(6)
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate_per_minute": 1}, b"450 4.7.1 You are sending faster"),
        ({"daily_cap": 1}, b"452 4.7.1 The daily limit"),
        ({"recipients_a_day": 3}, b"452 4.7.1 The daily number of recipients"),
    ],
)
def test_null_path_of_a_shared_network_is_bound_as_any_other_mail(
    houses: Houses, journal: Journal, fields: dict[str, int], said: bytes
) -> None:
    with build.as_owner():
        Credential.objects.filter(username="firma").update(**fields)
    with greeted(journal) as raw:
        replies = [notify(raw, b"From: a@firma.example", recipients=2) for _ in range(4)]
        assert any(reply.startswith(said) for reply in replies)
        assert notify(raw, b"From: m@mallory.example")[:3] == b"250"
    of_firma = [one for one in journal.messages if one.organisation_id == houses["firma"].id]
    assert 1 <= len(of_firma) <= 2  # two windows at most


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"standing": "suspended"}, b"451 4.7.1 "),
        ({"sending_allowed": False, "sending_reason": "no_agreement"}, b"550 5.7.1 "),
    ],
)
def test_null_path_of_a_shared_network_is_refused_to_who_may_not_send(
    houses: Houses, journal: Journal, fields: dict[str, object], said: bytes
) -> None:
    with build.as_owner():
        Organisation.objects.filter(id=houses["firma"].id).update(**fields)
    with greeted(journal) as raw:
        assert notify(raw, b"From: a@firma.example").startswith(said)
        assert notify(raw, b"From: m@mallory.example")[:3] == b"250"


def test_null_path_of_a_shared_network_keeps_to_the_list_of_who_gets_no_mail(
    houses: Houses, journal: Journal
) -> None:
    with build.as_owner():
        Suppression.objects.create(
            organisation=houses["firma"],
            address_hash=fingerprint(houses["firma"].id, "r1@other.example"),
            reason="by_person",
            created_at=mail.now(),
        )
    with greeted(journal) as raw:
        said = notify(raw, b"From: a@firma.example", recipients=2)
        assert said.startswith(b"550 5.7.1 This address is on your list")
        assert notify(raw, b"From: m@mallory.example", recipients=2)[:3] == b"250"
        assert notify(raw, b"From: a@firma.example")[:3] == b"250"


def test_one_credential_of_several_is_the_one_that_may_send_from_that_domain(
    houses: Houses, journal: Journal
) -> None:
    by_network("news", "127.0.0.0/8", of=houses["firma"], domains=["news.firma.example"])
    by_network("shop", "127.0.0.1/32", of=houses["firma"], domains=["shop.firma.example"])
    with greeted(journal) as raw:
        assert notify(raw, b"From: a@shop.firma.example")[:3] == b"250"
        # Two that name one network could differ in what becomes of the mail.
        assert notify(raw, b"From: a@news.firma.example")[:3] == b"550"
        assert notify(raw, b"From: a@firma.example")[:3] == b"250"
    used = [mail.value("SELECT username FROM relay_credential WHERE id = %s", one.credential_id)
            for one in journal.messages]  # fmt: skip
    assert used == ["shop", "firma"]


@pytest.mark.behaviour(7)
def test_null_path_of_a_shared_network_is_counted_for_neither_alone(houses: Houses) -> None:
    """Nobody's places and memory are used up by who names another's network."""
    assert recognised() == Undecided(frozenset(house.id for house in houses.values()))
    by_network("firma2", "127.0.0.0/8", of=houses["firma"])
    with build.as_owner():
        Credential.objects.filter(username="mallory").delete()
    assert recognised() == Undecided(houses["firma"].id)


def test_who_alone_names_the_network_is_known_before_the_message(houses: Houses) -> None:
    with build.as_owner():
        Credential.objects.filter(username="mallory").update(blocked_at=build.NOW)
    found = recognised()
    assert isinstance(found, SignedIn)
    assert found.owner == houses["firma"].id


def test_null_path_of_nobodys_network_is_asked_to_sign_in(houses: Houses, journal: Journal) -> None:
    with build.as_owner():
        Credential.objects.update(networks=["203.0.113.0/24"])
    with greeted(journal) as raw:
        assert raw.say(b"MAIL FROM:<>").startswith(b"530 5.7.0 Sign in first")


@pytest.mark.behaviour(14)
def test_mail_of_a_network_waits_for_a_look_that_this_service_owes(
    houses: Houses, journal: Journal
) -> None:
    """No server is asked for a sign-in that it never had, nor refused for good."""
    mail.execute("UPDATE relay_sendingdomain SET verified_at = now() - interval '73 hours'")
    with greeted(journal) as raw:
        assert raw.say(b"MAIL FROM:<anna@firma.example>").startswith(b"451 4.7.1 ")
        assert notify(raw, b"From: anna@firma.example").startswith(b"451 4.7.1 ")
        assert raw.say(b"MAIL FROM:<x@other.example>").startswith(b"530 5.7.0 ")
    assert not journal.messages
