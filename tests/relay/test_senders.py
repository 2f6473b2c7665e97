# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a credential may: from where, from which domains, for how many recipients, blocked or not;
and who needs none of a secret.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network

import psycopg
import pytest
import redis
from django.conf import settings
from django.db.models import Model
from django.db.utils import DataError

from accounts.models import Organisation
from relay.limits import Allowance, SharedCounters, SignInGate
from relay.models import Credential
from relay.queue import HotConnection
from relay.senders import BY_NETWORK, FRESH_SECONDS, Senders
from relay.smtp import answers
from relay.smtp.policy import Client
from relay.submission import SignedIn, Submission
from tests import build
from tests.relay import mail
from tests.relay.smtp.balancing import LOCAL, proxied
from tests.relay.smtp.listening import HEADER, Certificates, Raw, Running, make_certificates
from tests.relay.submitting import SECRET, Journal, by_network, credential, domain, plain, serving
from tests.testbed.certificates import Authority

pytestmark = pytest.mark.django_db(transaction=True)

HERE, AWAY = "203.0.113.7", "198.51.100.7"
NETWORK = ["203.0.113.0/24"]


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def anna() -> Credential:
    house = mail.organisation()
    domain(house, "firma.example")
    domain(house, "butik.example")
    return credential(house)


def change(model: type[Model], **fields: object) -> None:
    with build.as_owner():
        model._default_manager.update(**fields)


class Ahead:
    """A clock that the test moves on, in seconds."""

    seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


def asked(*clients: Client, secret: str = SECRET, username: str = "anna") -> Sequence[object]:
    """What the policy answers to a sign-in of each client, one after the other."""

    async def scenario() -> Sequence[object]:
        senders, counters = Senders(mail.dsn(), mail.now), SharedCounters(settings.REDIS_URL)
        policy = Submission(
            senders=senders, store=Journal(), allowance=Allowance(counters),
            gate=SignInGate(counters), hostname="relay.example", now=mail.now,
        )  # fmt: skip
        found = [await policy.authenticate(client, username, secret) for client in clients]
        await senders.close()
        await counters.close()
        return found

    return mail.run(scenario())


def recognised(*addresses: str, of: str | None = "firma.example") -> list[str | None]:
    """Whose mail of a domain (None: the null path) needs no secret from each of the addresses."""

    async def scenario() -> list[str | None]:
        senders = Senders(mail.dsn(), mail.now)
        found = [await senders.found_at(address, of) for address in addresses]
        await senders.close()
        return found

    return mail.run(scenario())


# Blocked


@pytest.mark.behaviour(8)
def test_blocked_credential_is_answered_as_a_wrong_password_is(anna: Credential) -> None:
    wrong = asked(Client(HERE), secret="wrong")
    change(Credential, blocked_at=build.NOW, block_reason="by_person")
    assert asked(Client(HERE)) == wrong == [answers.WRONG_SIGN_IN]


def test_block_ends_and_the_mode_is_what_it_was(anna: Credential) -> None:
    change(Credential, blocked_at=build.NOW)
    change(Credential, blocked_at=None)
    (found,) = asked(Client(HERE))
    assert isinstance(found, SignedIn)


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
def server(journal: Journal, clock: Ahead) -> Iterator[Running]:
    with serving(journal, clock=clock) as running:
        yield running


@pytest.fixture
def client(server: Running, anna: Credential) -> Iterator[Raw]:
    with Raw(server.port) as raw:
        yield raw.sign_in(plain("anna"))


def test_block_is_named_on_a_connection_that_is_open(client: Raw, clock: Ahead) -> None:
    change(Credential, blocked_at=build.NOW)
    clock.seconds = FRESH_SECONDS
    said = client.say(b"MAIL FROM:<anna@firma.example>")
    assert said.startswith(b"550 5.7.1 This credential is blocked")
    change(Credential, blocked_at=None)
    clock.seconds *= 2
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 250


def test_credential_blocked_during_data_stores_nothing(
    client: Raw, journal: Journal, clock: Ahead
) -> None:
    client.begin()
    change(Credential, blocked_at=build.NOW)
    clock.seconds = FRESH_SECONDS
    client.send(HEADER + b"\r\nhej\r\n.\r\n")
    assert client.reply().startswith(b"550 5.7.1 ")
    assert journal.messages == []


# Networks


@pytest.mark.parametrize(
    ("networks", "address", "enters"),
    [
        ([], AWAY, True),
        (NETWORK, HERE, True),
        (NETWORK, f"::ffff:{HERE}", True),
        (NETWORK, AWAY, False),
        (NETWORK, "2001:db8::7", False),
        (NETWORK, "", False),
        (["2001:db8::/48", "198.51.100.7/32"], "2001:db8::7", True),
        (["2001:db8::/48", "198.51.100.7/32"], AWAY, True),
        (["2001:db8::/48", "198.51.100.7/32"], "198.51.100.8", False),
    ],
)
@pytest.mark.behaviour(8)
def test_networks_say_from_where(
    anna: Credential, networks: list[str], address: str, enters: bool
) -> None:
    change(Credential, networks=networks)
    (found,) = asked(Client(address))
    assert isinstance(found, SignedIn) if enters else found == answers.WRONG_SIGN_IN


def test_who_is_no_longer_in_the_networks_is_hung_up_on(client: Raw, clock: Ahead) -> None:
    change(Credential, networks=NETWORK)
    clock.seconds = FRESH_SECONDS
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 421
    assert client.reply() == b""


def test_database_takes_no_network_that_cannot_be_read(anna: Credential) -> None:
    with pytest.raises(DataError):
        change(Credential, networks=["203.0.113.0/99"])


# Domains


@pytest.mark.behaviour(14)
@pytest.mark.parametrize(
    ("sender", "code"),
    [
        (b"anna@butik.example", 250),
        (b"anna@news.BUTIK.example", 250),
        (b"anna@firma.example", 550),
        (b"anna@notbutik.example", 550),
        # Named by the credential, and proven by nobody.
        (b"anna@other.example", 550),
    ],
)
def test_own_domains_narrow_and_never_widen(
    anna: Credential, server: Running, sender: bytes, code: int
) -> None:
    change(Credential, domains=["butik.example", "other.example"])
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.code(b"MAIL FROM:<" + sender + b">") == code


@pytest.mark.behaviour(14)
def test_author_must_be_in_the_credentials_own_domains(
    anna: Credential, server: Running, journal: Journal
) -> None:
    change(Credential, domains=["butik.example"])
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        for author, code in ((b"firma", b"550"), (b"butik", b"250")):
            raw.begin(sender=b"anna@butik.example")
            raw.send(b"From: anna@" + author + b".example\r\n\r\nhej\r\n.\r\n")
            assert raw.reply()[:3] == code
    assert len(journal.messages) == 1


# Recipients


@pytest.mark.behaviour(6)
def test_recipients_beyond_the_days_number_are_refused_and_the_others_pass(
    anna: Credential, server: Running, journal: Journal
) -> None:
    change(Credential, recipients_a_day=2)
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
        said = [raw.say(b"RCPT TO:<e%d@other.example>" % number)[:9] for number in range(4)]
        assert said == [b"250 2.1.5"] * 2 + [b"452 4.7.1"] * 2
        assert raw.code(b"DATA") == 354
        raw.send(HEADER + b"\r\nhej\r\n.\r\n")
        assert raw.reply()[:3] == b"250"
    (accepted,) = journal.messages
    assert [one.address for one in accepted.envelope.recipients] == [
        "e0@other.example", "e1@other.example",
    ]  # fmt: skip


def test_recipients_are_not_counted_where_nobody_asked_for_it(
    anna: Credential, server: Running
) -> None:
    with Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        raw.begin()
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as counters:
        assert [key for key in counters.keys("*") if "recipients" in key] == []


@pytest.mark.behaviour(12)
def test_to_and_cc_add_no_recipient(client: Raw, journal: Journal) -> None:
    client.begin(b"erik@other.example")
    client.send(
        b"From: anna@firma.example\r\nTo: ida@other.example, undisclosed:;\r\n"
        b"Cc: bo@other.example\r\nBcc: carl@other.example\r\n\r\nhej\r\n.\r\n"
    )
    assert client.reply()[:3] == b"250"
    (accepted,) = journal.messages
    assert [one.address for one in accepted.envelope.recipients] == ["erik@other.example"]
    assert b"To: ida@other.example, undisclosed:;\r\nCc: bo@other.example\r\n" in accepted.content


# What a message asks for


@pytest.mark.behaviour(18)
def test_wish_for_tls_is_stored_and_its_field_is_not(client: Raw, journal: Journal) -> None:
    for field in (b"", b"RELAY-Require-TLS: yes\r\n", b"RELAY-Tag: news\r\n"):
        client.begin()
        client.send(field + HEADER + b"\r\nhej\r\n.\r\n")
        assert client.reply()[:3] == b"250"
    assert [one.require_tls for one in journal.messages] == [False, True, False]
    assert not any(b"RELAY-" in one.content for one in journal.messages)


@pytest.mark.behaviour(18)
def test_wish_that_cannot_be_granted_refuses_the_message(client: Raw, journal: Journal) -> None:
    client.begin()
    client.send(b"RELAY-Require-TLS: no\r\n" + HEADER + b"\r\nhej\r\n.\r\n")
    assert client.reply().startswith(b"554 5.6.0 A RELAY- field asks")
    assert journal.messages == []


@pytest.mark.behaviour(17)
def test_message_that_comes_by_again_and_again_is_a_loop(client: Raw, journal: Journal) -> None:
    own = b"Received: by relay.example with ESMTPSA\r\n\tid 1; Sun, 22 Nov 2026\r\n"
    for times, start in ((3, b"250 "), (4, b"554 5.4.6 ")):
        client.begin()
        client.send(own * times + HEADER + b"\r\nhej\r\n.\r\n")
        assert client.reply().startswith(start)
    assert len(journal.messages) == 1


@pytest.fixture
def mallory() -> Organisation:
    """Somebody else, who has proven a domain of their own."""
    house = mail.organisation("Mallory")
    domain(house, "mallory.example")
    return house


@pytest.mark.behaviour(8)
def test_most_specific_network_says_which_credential_it_is(anna: Credential) -> None:
    change(Credential, networks=["203.0.112.0/20", "2001:db8::/48"], by_network=True)
    by_network("carl", "203.0.113.0/24", of=anna.organisation)
    wanted = {HERE: "carl", "203.0.112.9": "anna", "2001:db8::1": "anna", AWAY: None, "": None}
    assert recognised(*wanted, f"::ffff:{HERE}") == [*wanted.values(), "carl"]


@pytest.mark.behaviour(8)
def test_network_of_two_is_neithers(anna: Credential) -> None:
    """Not even that of whoever has a wider one around it; unless only one may send the mail."""
    change(Credential, networks=["203.0.112.0/20"], by_network=True)
    by_network("carl", *NETWORK, of=anna.organisation)
    by_network("dan", *NETWORK, of=anna.organisation, domains=["butik.example"])
    assert recognised(HERE, "203.0.112.9") == ["carl", "anna"]
    assert recognised(HERE, "203.0.112.9", of="butik.example") == [None, "anna"]


@pytest.mark.parametrize("claim", ["203.0.113.7/32", *NETWORK])
@pytest.mark.behaviour(8)
def test_who_names_anothers_network_takes_nothing_from_them(
    anna: Credential, mallory: Organisation, claim: str
) -> None:
    change(Credential, networks=NETWORK, by_network=True)
    by_network("mallory", claim, of=mallory, mode="sandbox")
    owners = {"firma.example": "anna", "mallory.example": "mallory", "other.example": None}
    assert [recognised(HERE, of=name) for name in owners] == [[who] for who in owners.values()]


@pytest.mark.behaviour(8)
def test_null_path_is_taken_where_one_organisation_is_named(
    anna: Credential, mallory: Organisation
) -> None:
    """Who has proven no domain can send nothing, and is not counted."""
    change(Credential, networks=NETWORK, by_network=True)
    by_network("dan", *NETWORK, of=mail.organisation("Dan"))
    assert recognised(HERE, of=None) == ["anna"]
    by_network("mallory", "203.0.113.7/32", of=mallory)
    assert recognised(HERE, "203.0.113.8", of=None) == [None, "anna"]


@pytest.mark.parametrize(
    "fields", [{"by_network": False}, {"blocked_at": build.NOW}, {"revoked_at": build.NOW}]
)
def test_only_credentials_in_force_that_allow_it_count(
    anna: Credential, fields: dict[str, object]
) -> None:
    change(Credential, networks=NETWORK, by_network=True)
    assert recognised(HERE) == ["anna"]
    change(Credential, **fields)
    assert recognised(HERE) == [None]


def test_strangers_cost_one_look_for_all(anna: Credential) -> None:
    change(Credential, networks=NETWORK, by_network=True)

    async def scenario() -> list[str | None]:
        clock = Ahead()
        senders = Senders(mail.dsn(), mail.now, clock)
        found = [await senders.found_at(HERE, "firma.example")]
        async with await psycopg.AsyncConnection.connect(mail.dsn("owner")) as session:
            await session.execute("UPDATE relay_credential SET by_network = false")
        for number in range(100):
            await senders.found_at(f"198.51.100.{number}", None)
        found.append(await senders.found_at(HERE, "firma.example"))
        clock.seconds = FRESH_SECONDS
        found.append(await senders.found_at(HERE, "firma.example"))
        await senders.close()
        return found

    assert mail.run(scenario()) == ["anna", "anna", None]


@pytest.fixture
def certificates(authority: Authority) -> Certificates:
    return make_certificates(authority)


@contextmanager
def behind_balancer(
    journal: Journal, certificates: Certificates, clock: Ahead
) -> Iterator[Running]:
    with serving(
        journal, clock=clock, tls=certificates.server, balancers=(ip_network("127.0.0.0/30"),)
    ) as server:
        yield server


@contextmanager
def arrived(server: Running, certificates: Certificates, header: bytes) -> Iterator[Raw]:
    """A client whose balancer said `header`, over TLS, up to EHLO."""
    with Raw(server.tls_port) as raw:
        raw.send(header)
        raw.secure(certificates.client)
        assert raw.reply().startswith(b"220 ")
        assert raw.code(b"EHLO x") == 250
        yield raw


MAIL = b"MAIL FROM:<anna@firma.example>"


@pytest.mark.behaviour(8)
def test_mail_from_the_network_is_taken_over_tls_and_bears_no_sign_in(
    anna: Credential, journal: Journal, certificates: Certificates
) -> None:
    change(Credential, networks=NETWORK, by_network=True)
    clock = Ahead()
    with behind_balancer(journal, certificates, clock) as server:
        with Raw(server.port) as raw:
            raw.send(proxied(HERE))
            raw.reply()
            raw.say(b"EHLO x")
            assert raw.say(MAIL).startswith(b"530 5.7.0 Say STARTTLS")
        with arrived(server, certificates, proxied(HERE)) as raw:
            raw.begin()
            raw.send(HEADER + b"\r\nhej\r\n.\r\n")
            assert raw.reply()[:3] == b"250"
            assert raw.code(b"AUTH PLAIN " + plain("anna")) == 503
            change(Credential, by_network=False)
            clock.seconds = FRESH_SECONDS
            assert raw.say(MAIL).startswith(b"530 5.7.0 Sign in first")
            assert raw.code(b"AUTH PLAIN " + plain("anna")) == 235
    (accepted,) = journal.messages
    assert accepted.credential_id == anna.id
    assert b"by relay.example with ESMTPS (TLSv1.3)" in accepted.content
    assert mail.value("SELECT last_used_at FROM relay_credential") is not None


@pytest.mark.behaviour(8)
def test_each_message_is_of_whom_its_domain_belongs_to(
    anna: Credential, mallory: Organisation, journal: Journal, certificates: Certificates
) -> None:
    change(Credential, networks=NETWORK, by_network=True)
    by_network("mallory", "203.0.113.7/32", of=mallory, mode="sandbox")
    with (
        behind_balancer(journal, certificates, Ahead()) as server,
        arrived(server, certificates, proxied(HERE)) as raw,
    ):
        for sender in (b"anna@firma.example", b"m@mallory.example", b"anna@firma.example"):
            raw.begin(sender=sender)
            raw.send(HEADER.replace(b"anna@firma.example", sender) + b"\r\nhej\r\n.\r\n")
            assert raw.reply()[:3] == b"250"
        assert raw.say(b"MAIL FROM:<x@other.example>").startswith(b"530 5.7.0 Sign in first")
    firma, other, again = journal.messages
    assert (firma.organisation_id, again.organisation_id) == (anna.organisation_id,) * 2
    assert (other.organisation_id, other.is_sandbox) == (mallory.id, True)


@pytest.mark.parametrize("header", [proxied(AWAY), proxied("2001:db8::7"), LOCAL])
def test_address_that_counts_is_the_one_the_balancer_names(
    anna: Credential, journal: Journal, certificates: Certificates, header: bytes
) -> None:
    """The balancer's own is listed, and opens nothing."""
    change(Credential, networks=["127.0.0.0/24", *NETWORK], by_network=True)
    with (
        behind_balancer(journal, certificates, Ahead()) as server,
        arrived(server, certificates, header) as raw,
    ):
        assert raw.say(MAIL).startswith(b"530 5.7.0 Sign in first")
        assert raw.code(b"AUTH PLAIN " + plain("anna")) == 535


def test_look_at_the_networks_goes_along_their_index(anna: Credential) -> None:
    mail.execute(
        "INSERT INTO relay_credential (id, organisation_id, name, username, secret_hash, mode,"
        " rate_per_minute, daily_cap, networks, by_network, domains, created_at, block_reason)"
        " SELECT gen_random_uuid(), %s, n, n, '', 'live', 1, 1, '{}', false, '{}', now(), ''"
        " FROM generate_series(1, 1000) n",
        anna.organisation_id,
    )
    mail.execute("ANALYZE relay_credential")

    async def scenario() -> str:
        hot = HotConnection(mail.dsn())
        async with hot.use() as session:
            plan = await (await session.execute("EXPLAIN " + BY_NETWORK)).fetchall()
        await hot.close()
        return str(plan)

    assert "credential_by_network" in mail.run(scenario())
