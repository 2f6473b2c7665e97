# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail of sandbox credentials: taken like any other, and never handed to a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from django.conf import settings

from accounts.models import Organisation
from relay import retrying
from relay.models import Credential
from relay.notices import NOTICES_A_MINUTE
from relay.queue import Leases, Store
from relay.scopes import Scope
from tests import build
from tests.relay import mail
from tests.relay.smtp.listening import Raw
from tests.relay.stage import WAITING, carry, route
from tests.relay.submitting import Journal, credential, domain, plain, serving
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = (
    b"From: Anna <anna@firma.example>\r\nTo: erik@other.example\r\n"
    b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\nMessage-ID: <1@firma.example>\r\n\r\nhej\r\n"
)
STATES = "SELECT recipient, state, final_reason FROM relay_delivery ORDER BY recipient"


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


@pytest.fixture
def firma() -> Organisation:
    """An organisation without an agreement, with a domain and a credential of each mode."""
    made = mail.organisation(sending_allowed=False, sending_reason="no_agreement")
    domain(made, "firma.example")
    credential(made, "anna")
    credential(made, "prove", mode=Credential.Mode.SANDBOX)
    return made


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def connected(journal: Journal, firma: Organisation) -> Iterator[Callable[[str], Raw]]:
    """A way to sign in by user name."""
    with serving(journal) as server:
        yield lambda username: Raw(server.port).sign_in(plain(username))


def refused(client: Raw) -> bytes:
    with client:
        return client.say(b"MAIL FROM:<anna@firma.example>")


def sent(client: Raw, *recipients: bytes) -> bytes:
    with client:
        client.begin(*recipients)
        client.send(MESSAGE + b".\r\n")
        return client.reply()


def test_before_the_agreement_only_the_sandbox_takes_mail(
    connected: Callable[[str], Raw], journal: Journal
) -> None:
    assert refused(connected("anna")).startswith(b"550 5.7.1 Your organisation has no agreement")
    reply = sent(connected("prove"))
    (accepted,) = journal.messages
    assert accepted.is_sandbox
    assert reply.startswith(b"250 2.0.0 Queued in the sandbox, nobody receives it: ")
    assert str(accepted.id).encode() in reply


def test_live_mail_is_no_sandbox_mail(
    connected: Callable[[str], Raw], journal: Journal, firma: Organisation
) -> None:
    mail.execute("UPDATE accounts_organisation SET sending_allowed = true")
    assert sent(connected("anna")).startswith(b"250 2.0.0 Queued as ")
    sent(connected("prove"))
    assert [one.is_sandbox for one in journal.messages] == [False, True]


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ("standing = 'suspended'", b"451 4.7.1 "),
        ("sending_reason = 'staff'", b"451 4.7.1 "),
        ("standing = 'unpaid'", b"451 4.7.1 "),
        ("standing = 'closing'", b"550 5.7.1 "),
    ],
)
def test_who_is_stopped_is_stopped_in_the_sandbox_as_well(
    connected: Callable[[str], Raw], fields: str, reply: bytes
) -> None:
    mail.execute(f"UPDATE accounts_organisation SET {fields}")
    assert refused(connected("prove")).startswith(reply)


def test_sandbox_sends_from_verified_domains_only(connected: Callable[[str], Raw]) -> None:
    with connected("prove") as client:
        assert client.say(b"MAIL FROM:<carl@carls.example>").startswith(b"550 5.7.1 ")


def to_far_end(house: Organisation) -> Callable[[int], None]:
    return lambda port: (route(house, port=port), None)[1]


def test_nobody_is_asked_and_content_is_gone(house: Organisation) -> None:
    message = mail.message(
        house.id,
        "erik@modtager.example",
        "Ida+BOUNCE@modtager.example",
        "bounce+ida@modtager.example",
        sender="post+bounce@due.example",
        is_sandbox=True,
    )
    far_end = carry(Script(), message, prepare=to_far_end(house), ready=WAITING)
    assert (far_end.connections, far_end.ledger) == (0, [])
    assert mail.rows(STATES) == [
        ("bounce+ida@modtager.example", "sandboxed", ""),
        ("erik@modtager.example", "sandboxed", ""),
        ("ida+bounce@modtager.example", "bounced", "simulated"),
        # The notice to the sender, which is refused in its turn and tells nobody.
        ("post+bounce@due.example", "bounced", "simulated"),
    ]
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    assert (
        mail.rows("SELECT is_sandbox, content_destroyed_at IS NULL FROM relay_message")
        == [(True, False)] * 2
    )


def test_notice_of_a_simulated_refusal_stays_in_the_house(house: Organisation) -> None:
    message = mail.message(house.id, "ida+bounce@modtager.example", is_sandbox=True)
    far_end = carry(Script(), message, prepare=to_far_end(house), ready=WAITING)
    assert far_end.connections == 0
    assert mail.rows(
        "SELECT d.recipient, d.state FROM relay_message m JOIN relay_delivery d"
        " ON d.message_id = m.id WHERE m.is_notification"
    ) == [("post@due.example", "sandboxed")]


def test_flood_of_simulated_refusals_holds_no_live_notice_up(house: Organisation) -> None:
    tried = [
        mail.message(house.id, "ida+bounce@modtager.example", is_sandbox=True)
        for _ in range(NOTICES_A_MINUTE)
    ]
    live = mail.message(house.id)
    script = Script(rcpt={"Erik@modtager.example": "550 5.1.1 no such user"})
    far_end = carry(script, *tried, live, prepare=to_far_end(house), ready=WAITING)
    assert [one.recipients for one in far_end.ledger] == [["Post@due.example"]]


def test_large_content_is_not_read_for_a_notice(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def content(self: Leases, message_id: object) -> bytes | None:
        asked.append(message_id)
        return None

    monkeypatch.setattr(Leases, "content", content)
    large = mail.CONTENT + b"Grus og guld.\r\n" * 10_000
    message = mail.message(house.id, "ida+bounce@modtager.example", content=large, is_sandbox=True)
    carry(Script(), message, ready=WAITING)
    assert asked == []
    assert mail.value("SELECT count(*) FROM relay_message WHERE is_notification") == 1


def test_deferral_is_simulated_once(house: Organisation) -> None:
    message = mail.message(house.id, "ida+defer@modtager.example", is_sandbox=True)
    carry(Script(), message)
    (row,) = mail.rows("SELECT reason, attempts, due_at - accepted_at FROM relay_queueddelivery")
    assert row[:2] == ("simulated", 1)
    assert timedelta(seconds=45) < row[2] < timedelta(seconds=75)
    far_end = carry(Script(), prepare=to_far_end(house), offset=timedelta(minutes=2), ready=WAITING)
    assert far_end.connections == 0
    assert mail.rows(STATES) == [("ida+defer@modtager.example", "sandboxed", "")]
    assert mail.rows("SELECT verdict, code FROM relay_attempt") == [("retry", 451)]


def accepted(house: Organisation, *recipients: bytes) -> None:
    """Hand mail in with the sandbox credential, into the real queue."""
    store = Store(mail.dsn(), mail.sealer(), mail.now)
    with serving(store) as server:
        assert sent(Raw(server.port).sign_in(plain("prove")), *recipients).startswith(b"250 ")


def going_live(house: Organisation) -> None:
    mail.execute("UPDATE accounts_organisation SET sending_allowed = true")


def credential_revoked(house: Organisation) -> None:
    mail.execute("UPDATE relay_credential SET revoked_at = now()")


def credential_made_live(house: Organisation) -> None:
    mail.execute("UPDATE relay_credential SET mode = 'live'")


def credential_gone(house: Organisation) -> None:
    mail.execute("DELETE FROM relay_credential")


def log_made_live(house: Organisation) -> None:
    mail.execute("UPDATE relay_message SET is_sandbox = false")


def shift_died(house: Organisation) -> None:
    mail.execute(
        "UPDATE relay_queueddelivery SET lease_owner = gen_random_uuid(), fence = fence + 1,"
        " lease_expires_at = now() - interval '1 second', attempts = 1"
    )


def retried(house: Organisation) -> None:
    with build.as_owner():
        mail.execute("UPDATE relay_queueddelivery SET due_at = now() + interval '1 hour'")
        assert retrying.retry_now(Scope(house.id), mail.now()).count == 1


@pytest.mark.parametrize(
    "meanwhile",
    [
        credential_revoked,
        credential_made_live,
        credential_gone,
        log_made_live,
        shift_died,
        retried,
    ],
)
def test_whatever_happens_meanwhile_it_stays_in_the_sandbox(
    firma: Organisation, meanwhile: Callable[[Organisation], None]
) -> None:
    accepted(firma)
    going_live(firma)
    meanwhile(firma)
    far_end = carry(Script(), prepare=to_far_end(firma), ready=WAITING)
    assert far_end.connections == 0
    assert mail.rows(STATES) == [("erik@other.example", "sandboxed", "")]


def test_live_mail_of_the_same_house_is_delivered(house: Organisation) -> None:
    """The control of the tests above: with this route, mail that is live does arrive."""
    tried = mail.message(house.id, "ida@modtager.example", is_sandbox=True)
    live = mail.message(house.id, "erik@modtager.example")
    far_end = carry(Script(), tried, live, prepare=to_far_end(house), ready=WAITING)
    assert [one.recipients for one in far_end.ledger] == [["erik@modtager.example"]]
    assert [state for _, state, _ in mail.rows(STATES)] == ["delivered", "sandboxed"]


def test_mark_that_is_lost_leaves_nothing_to_send(house: Organisation) -> None:
    """Planted: the queue takes sandbox mail for live mail. Its content does not open as such."""
    mail.run(mail.keep(mail.message(house.id, is_sandbox=True)))
    mail.execute("UPDATE relay_content SET is_sandbox = false")
    far_end = carry(Script(), prepare=to_far_end(house))
    assert (far_end.ledger, bytes(far_end.body)) == ([], b"")
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("unopened", 1)]
