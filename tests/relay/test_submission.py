# SPDX-License-Identifier: AGPL-3.0-or-later
"""The policy on a real database and a real Redis, through real sockets."""

from __future__ import annotations

import base64
import gc
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.conf import settings
from django.db.models import Model

from accounts import vault
from accounts.ids import uuid7_time
from accounts.models import Organisation
from relay.limits import SIGN_IN_FAILURES, Allowance, SharedCounters, SignInGate
from relay.models import Credential, SendingDomain
from relay.queue import Accepted, Store
from relay.senders import FRESH_SECONDS, Senders
from relay.smtp import answers
from relay.smtp.policy import Client, Submitted
from relay.submission import SECRET_PURPOSE, Submission
from tests import build
from tests.relay import mail
from tests.relay.smtp.listening import Raw, Running
from tests.relay.submitting import Journal, credential, domain, plain, serving

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = (
    b"From: Anna <anna@firma.example>\r\nTo: erik@other.example\r\nBcc: ida@other.example\r\n"
    b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@firma.example>\r\n\r\nhej\r\n"
)


def change(model: type[Model], **fields: object) -> None:
    with build.as_owner():
        model._default_manager.update(**fields)


def _forget_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    _forget_counts()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def anna_sends() -> Credential:
    house = mail.organisation()
    domain(house, "firma.example")
    return credential(house)


class Ahead:
    """A clock that the test moves on, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
def server(journal, clock) -> Iterator[Running]:
    with serving(journal, clock=clock) as running:
        yield running


@pytest.fixture
def client(server, anna_sends) -> Iterator[Raw]:
    with Raw(server.port) as raw:
        yield raw.sign_in(plain("anna"))


def say_data(client: Raw, content: bytes = MESSAGE) -> bytes:
    client.begin()
    client.send(content + b".\r\n")
    return client.reply()


@pytest.mark.behaviour(12)
def test_message_is_stored_with_its_trace(client, journal, anna_sends):
    reply = say_data(client)
    (accepted,) = journal.messages
    assert reply == f"250 2.0.0 Queued as {accepted.id}\r\n".encode()
    assert accepted.accepted_at == uuid7_time(accepted.id)
    assert accepted.organisation_id == anna_sends.organisation_id
    assert accepted.credential_id == anna_sends.id
    trace, _, rest = accepted.content.partition(b"\r\nFrom: ")
    wanted = f"Received: by relay.example with ESMTPA\r\n\tid {accepted.id}; "
    assert trace.startswith(wanted.encode())
    assert b"127.0.0.1" not in accepted.content
    assert b"client.example" not in accepted.content
    assert b"From: " + rest == MESSAGE.replace(b"Bcc: ida@other.example\r\n", b"")


@pytest.mark.parametrize(
    ("sender", "start"),
    [
        (b"anna@firma.example", b"250 "),
        (b"anna@FIRMA.example", b"250 "),
        (b"anna@mail.firma.example", b"250 "),
        (b"", b"250 "),
        (b"anna@notfirma.example", b"550 5.7.1 "),
        (b"anna@firma.example.other.test", b"550 5.7.1 "),
        (b"carl@other.example", b"550 5.7.1 "),
        (b"anna@waiting.example", b"550 5.7.1 "),
        (b"anna@carls.example", b"550 5.7.1 "),
    ],
)
@pytest.mark.behaviour(14)
def test_envelope_sender_must_be_in_a_verified_domain(client, anna_sends, sender, start):
    domain(anna_sends.organisation, "waiting.example", "pending")
    domain(mail.organisation("Carl"), "carls.example")
    assert client.say(b"MAIL FROM:<" + sender + b">").startswith(start)


@pytest.mark.parametrize(
    ("sender", "start"),
    [
        # Carl has proven a name below Anna's: it is his, and so is what lies below it ...
        (b"anna@carl.firma.example", b"550 5.7.1 "),
        (b"anna@mail.carl.firma.example", b"550 5.7.1 "),
        # ... but for what Anna has proven there herself.
        (b"anna@anna.carl.firma.example", b"250 "),
        (b"anna@notcarl.firma.example", b"250 "),
        # A name that is only claimed takes nothing away.
        (b"anna@claimed.firma.example", b"250 "),
    ],
)
def test_name_proven_by_another_below_ones_own_is_theirs(server, anna_sends, sender, start):
    domain(anna_sends.organisation, "anna.carl.firma.example")
    carl = mail.organisation("Carl")
    domain(carl, "carl.firma.example")
    domain(carl, "claimed.firma.example", "pending")
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.say(b"MAIL FROM:<" + sender + b">").startswith(start)


@pytest.mark.parametrize(
    "lines",
    [
        b"From: boss@other.example\r\n",
        b"From: anna@firma.example, boss@other.example\r\n",
        b"From: anna@notfirma.example\r\n",
        b"From: anna@firma.example\r\nSender: boss@other.example\r\n",
        b"From: anna@firma.example\r\nResent-From: boss@other.example\r\n",
        b"From: anna@firma.example\r\nResent-Sender: boss@other.example\r\n",
        b"From: anna@xn--frma-1bd.example\r\n",
    ],
)
@pytest.mark.behaviour(14)
def test_every_author_must_be_in_a_verified_domain(client, journal, lines):
    assert say_data(client, lines + b"\r\nhej\r\n").startswith(b"550 5.7.1 ")
    assert journal.messages == []


@pytest.mark.behaviour(11)
def test_null_sender_is_stored_with_its_authors_domain(client, journal):
    client.begin(sender=b"")
    client.send(b"From: anna@firma.example\r\n\r\n.\r\n")
    assert client.reply().startswith(b"250 ")
    assert say_data(client).startswith(b"250 ")
    assert [one.author_domain for one in journal.messages] == ["firma.example", ""]


def test_null_sender_does_not_free_the_author(client, journal):
    client.begin(sender=b"")
    client.send(b"From: boss@other.example\r\n\r\n.\r\n")
    assert client.reply().startswith(b"550 5.7.1 ")


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"standing": "suspended"}, b"451 4.7.1 "),
        ({"standing": "unpaid"}, b"451 4.7.1 "),
        ({"standing": "closing"}, b"550 5.7.1 "),
        ({"standing": "closed"}, b"550 5.7.1 "),
        ({"sending_allowed": False, "sending_reason": "no_agreement"}, b"550 5.7.1 "),
        ({"sending_allowed": False, "sending_reason": "staff"}, b"451 4.7.1 "),
    ],
)
def test_organisation_that_may_not_send_is_told_so(server, anna_sends, fields, start):
    change(Organisation, **fields)
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.say(b"MAIL FROM:<anna@firma.example>").startswith(start)


@pytest.mark.parametrize(("age", "code"), [(timedelta(hours=71), 250), (timedelta(hours=73), 550)])
def test_missing_record_stops_after_72_hours(server, anna_sends, age, code):
    change(SendingDomain, state="failing", verified_at=datetime.now(UTC) - age)
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == code


@pytest.mark.behaviour(14)
@pytest.mark.parametrize(
    ("age", "state", "reason", "code"),
    [
        (timedelta(hours=71), "verified", "", 250),
        (timedelta(hours=73), "verified", "", 451),
        (timedelta(hours=73), "verified", "unreachable", 451),
        (timedelta(hours=71), "failing", "unreachable", 250),
        (timedelta(hours=73), "failing", "unreachable", 451),
        (timedelta(hours=73), "failing", "not_found", 550),
        (timedelta(days=40), "verified", "development", 250),
    ],
)
def test_look_that_this_service_owes_refuses_nothing_for_good(
    server, anna_sends, age, state, reason, code
):
    change(SendingDomain, state=state, reason=reason, verified_at=datetime.now(UTC) - age)
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == code
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.code(b"MAIL FROM:<anna@andetsteds.example>") == 550


def test_revoked_credential_dies_in_a_live_session(client, clock):
    assert say_data(client)[:3] == b"250"
    change(Credential, revoked_at=build.NOW)
    clock.seconds = FRESH_SECONDS
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 421
    assert client.reply() == b""


def test_new_secret_ends_live_sessions(client, clock):
    change(Credential, secret_hash=b"another")
    clock.seconds = FRESH_SECONDS
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 421


def test_credential_revoked_during_data_stores_nothing(client, journal, clock):
    client.begin()
    change(Credential, revoked_at=build.NOW)
    clock.seconds = FRESH_SECONDS
    client.send(MESSAGE + b".\r\n")
    assert client.reply()[:3] == b"421"
    assert journal.messages == []


@pytest.mark.parametrize(
    "wrong",
    [plain("anna", "wrong"), plain("nobody"), plain("anna" + "x" * 80), plain("Anna"), plain(""),
     base64.b64encode(b"\0anna\0")],
)  # fmt: skip
def test_wrong_sign_in_is_refused(server, anna_sends, wrong):
    with Raw(server.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        assert raw.say(b"AUTH PLAIN " + wrong).startswith(b"535 5.7.8 User name or password")


def test_addresses_of_one_network_guess_together():
    """An IPv6 host owns a /64: it must not get ten tries for each of its addresses."""

    async def scenario() -> list[object]:
        senders, counters = Senders(mail.dsn(), mail.now), SharedCounters(settings.REDIS_URL)
        policy = Submission(
            senders=senders, store=Journal(), allowance=Allowance(counters),
            gate=SignInGate(counters), hostname="relay.example", now=mail.now,
        )  # fmt: skip
        addresses = [f"2001:db8::{number:x}" for number in range(SIGN_IN_FAILURES + 1)]
        answered: list[object] = []
        for number, address in enumerate([*addresses, "2001:db9::1"]):
            name = f"nobody-{number}"
            answered.append(await policy.authenticate(Client(address), name, "guess"))
        await senders.close()
        await counters.close()
        return answered

    wrong, throttled = answers.WRONG_SIGN_IN, answers.THROTTLED
    assert mail.run(scenario()) == [wrong] * SIGN_IN_FAILURES + [throttled, wrong]


def test_names_are_forgotten_and_long_ones_never_kept(anna_sends, clock):
    async def scenario() -> list[int]:
        senders, kept = Senders(mail.dsn(), mail.now, clock), []
        for number in range(5):
            assert await senders.find(f"nobody-{number}") is None
        assert await senders.find("a" * 9_000) is None
        kept.append(len(senders._known))
        clock.seconds = FRESH_SECONDS / 2
        assert await senders.find("anna") is not None
        clock.seconds = FRESH_SECONDS * 1.25
        assert await senders.find("b" * 9_000) is None
        kept.append(len(senders._known))
        await senders.close()
        return kept

    assert mail.run(scenario()) == [5, 1]


def test_mail_after_helo_is_traced_as_plain_smtp(client, journal):
    assert client.code(b"HELO client.example") == 250
    assert say_data(client)[:3] == b"250"
    assert b"by relay.example with SMTP\r\n" in journal.messages[0].content


def test_revoked_credential_cannot_sign_in(server, anna_sends):
    change(Credential, revoked_at=build.NOW)
    with Raw(server.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        assert raw.code(b"AUTH PLAIN " + plain("anna")) == 535


@pytest.mark.behaviour(8)
def test_unknown_and_known_users_cost_the_same(server, anna_sends):
    """But for the look-up: see relay/submission.py."""

    def spent(username: str) -> float:
        best = 1.0
        for _ in range(15):
            # Who is throttled is not looked at, whoever it is.
            _forget_counts()
            with Raw(server.port) as raw:
                raw.reply()
                raw.say(b"EHLO x")
                began = time.perf_counter()
                assert raw.code(b"AUTH PLAIN " + plain(username, "wrong")) == 535
                best = min(best, time.perf_counter() - began)
        return best

    assert abs(spent("anna") - spent("nobody")) < 0.01


@pytest.mark.behaviour(8)
def test_guessing_is_stopped_before_the_password_is_looked_at(server, anna_sends, monkeypatch):
    looks = []
    keyed_hash = vault.keyed_hash

    def counting(purpose: str, value: bytes) -> bytes:
        looks.append(purpose)
        return keyed_hash(purpose, value)

    monkeypatch.setattr(vault, "keyed_hash", counting)
    codes = []
    for _ in range(20):
        with Raw(server.port) as raw:
            raw.reply()
            raw.say(b"EHLO x")
            codes += [raw.code(b"AUTH PLAIN " + plain("anna", "wrong")) for _ in range(2)]
    assert codes.count(535) == 10
    assert codes.count(454) == 30
    assert looks.count(SECRET_PURPOSE) == 10
    with Raw(server.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        assert raw.code(b"AUTH PLAIN " + plain("anna")) == 454


@pytest.mark.behaviour(6)
def test_rate_and_daily_cap_are_temporary(journal, anna_sends):
    change(Credential, rate_per_minute=3)
    with serving(journal) as server, Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        codes = []
        for _ in range(8):
            codes.append(raw.say(b"MAIL FROM:<anna@firma.example>")[:9])
            raw.say(b"RSET")
    assert b"450 4.7.1" in codes
    assert codes.count(b"250 2.1.0") <= 6  # two windows at most


def test_daily_cap_is_named(server, anna_sends):
    change(Credential, daily_cap=1)
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        raw.say(b"MAIL FROM:<anna@firma.example>")
        raw.say(b"RSET")
        assert raw.say(b"MAIL FROM:<anna@firma.example>").startswith(b"452 4.7.1 ")


def test_store_that_is_away_is_451(client, journal):
    journal.away = True
    assert say_data(client).startswith(b"451 4.3.0 ")
    journal.away = False
    assert say_data(client)[:3] == b"250"


def test_database_that_is_away_is_451(journal):
    nowhere = "postgresql://relay@127.0.0.1:1/nothing"
    with serving(journal, dsn=nowhere) as server, Raw(server.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        assert raw.say(b"AUTH PLAIN " + plain("anna")).startswith(b"451 4.3.0 ")


def test_without_redis_a_quarter_is_left(journal, anna_sends):
    change(Credential, rate_per_minute=40)
    with serving(journal, redis_url="redis://127.0.0.1:1/0") as server, Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        codes = []
        for _ in range(30):
            codes.append(raw.code(b"MAIL FROM:<anna@firma.example>"))
            raw.say(b"RSET")
    assert 10 <= codes.count(250) <= 20  # two windows at most


def test_use_is_written(journal, anna_sends):
    with serving(journal) as server, Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
    assert mail.value("SELECT last_used_at FROM relay_credential") is not None


class Looking(Journal):
    """Notes how many messages as received are left while one is being stored."""

    left = -1

    async def store(self, message: Accepted) -> None:
        await super().store(message)
        self.left = sum(type(each) is Submitted for each in gc.get_objects())


def test_message_waits_for_the_commit_as_one_copy(anna_sends):
    looking = Looking()
    with serving(looking) as running, Raw(running.port) as client:
        assert say_data(client.sign_in(plain("anna")))[:3] == b"250"
    assert looking.left == 0


@pytest.mark.behaviour(5)
def test_message_is_committed_before_250(anna_sends):
    with serving(Store(mail.dsn(), mail.sealer(), mail.now)) as server, Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        for number in range(1, 6):
            assert say_data(raw)[:3] == b"250"
            assert mail.value("SELECT count(*) FROM relay_message") == number
