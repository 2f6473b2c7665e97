# SPDX-License-Identifier: AGPL-3.0-or-later
"""The steps of the demo: each must be able to fail."""

from __future__ import annotations

import socketserver
import threading

import pytest

from config.demo import steps as room
from config.demo.journey import STEPS, travel
from config.demo.mail import arrive, forget
from config.demo.steps import Journey, Step, StepFailed
from config.stack.tls import ensure_certificates
from relay.models import Content, Delivery, Message
from tests import build
from tests.relay.smtp.listening import PASSWORD, USER, running
from tests.testbed.certificates import Authority

SENT = b"From: <hej@skovgaard.example>\r\n\r\nhej\r\n"
FACTS = {"mailbox": {"maildir": "mailbox"}}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(room, "PATIENCE", 0.2)


@pytest.fixture
def mailbox(tmp_path):
    (tmp_path / "mailbox" / "new").mkdir(parents=True)
    return tmp_path / "mailbox" / "new" / "1"


@pytest.mark.parametrize("before", [b"", b"Received: from a\r\n\tby b\r\nReceived: from c\r\n"])
def test_arrive_holds_for_the_very_bytes_behind_trace_headers(tmp_path, mailbox, before):
    mailbox.write_bytes(before + SENT)
    arrive(Journey(tmp_path, FACTS, sent=SENT))


@pytest.mark.parametrize(
    "content",
    [
        SENT.replace(b"\r\n", b"\n"),
        SENT.rstrip(),
        b"X-Scanned: yes\r\n" + SENT,
        b"Received: from a\r\n\r\n" + SENT,
        b"",
    ],
)
def test_arrive_fails_for_other_bytes(tmp_path, mailbox, content):
    mailbox.write_bytes(content)
    with pytest.raises(StepFailed):
        arrive(Journey(tmp_path, FACTS, sent=SENT))


@pytest.fixture
def message(organisation, anna):
    with build.as_owner():
        build.everything_of(organisation, anna)
        message = Message.objects.get()
        message.content_destroyed_at = build.NOW
        message.save()
        Delivery.objects.update(state=Delivery.State.DELIVERED)
    return message


@pytest.mark.django_db
@pytest.mark.as_role("duty")
def test_forget_fails_while_the_content_is_there_and_holds_when_it_is_gone(tmp_path, message):
    journey = Journey(tmp_path, FACTS, message_id=message.id)
    with pytest.raises(StepFailed, match="still in the database"):
        forget(journey)
    with build.as_owner():
        Content.objects.all().delete()
    forget(journey)


@pytest.mark.django_db
@pytest.mark.as_role("duty")
@pytest.mark.parametrize("state", [Delivery.State.WAITING, Delivery.State.BOUNCED])
def test_forget_fails_when_the_message_was_not_delivered(tmp_path, message, state):
    with build.as_owner():
        Content.objects.all().delete()
        Delivery.objects.update(state=state)
    with pytest.raises(StepFailed, match="delivered and destroyed"):
        forget(Journey(tmp_path, FACTS, message_id=message.id))


def test_travel_stops_at_the_first_step_that_does_not_hold(tmp_path):
    def fail(_journey):
        raise StepFailed("it rained")

    told: list[str] = []
    steps = (Step("flies", lambda _: None), Step("lands", fail), Step("rests", lambda _: None))

    assert travel(Journey(tmp_path, {}), told.append, steps) is False

    assert told[0].startswith("  1. flies: 0.0")
    assert told[1:] == ["  2. lands: FAILED, it rained"]


@pytest.mark.parametrize(
    ("sender", "recipient", "said"),
    [
        ("hej@another.example", "erik@other.example", "550 5.7.1 The sender is in no verified"),
        ("hej@firma.example", "later@other.example", "450 4.7.1 You are sending faster"),
        ("hej@firma.example", "no address", "553 5.1.3 The recipient is not a valid"),
    ],
)
def test_submit_tells_the_refusal_itself(tmp_path, monkeypatch, sender, recipient, said):
    monkeypatch.setattr("config.demo.mail.RECIPIENT", recipient)
    authority = Authority(tmp_path)
    with running(tls=authority.server("127.0.0.1"), plaintext=False) as server:
        smtp = {"host": "127.0.0.1", "port": server.port, "ca_file": authority.ca_file.name}
        smtp |= {"sender": sender, "username": USER, "password": PASSWORD}
        told: list[str] = []
        assert travel(Journey(tmp_path, {"smtp": smtp}), told.append, STEPS[:1]) is False
    assert f"FAILED, the server answered {said}" in told[0]


def test_submit_tells_when_the_server_hangs_up(tmp_path):
    class HangUp(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.close()

    server = socketserver.TCPServer(("127.0.0.1", 0), HangUp)
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        smtp = {"host": "127.0.0.1", "port": server.server_address[1], "ca_file": "tls/ca.pem"}
        smtp |= {"sender": "hej@skovgaard.example"}
        ensure_certificates(tmp_path / "tls", "relay.test")
        told: list[str] = []
        assert travel(Journey(tmp_path, {"smtp": smtp}), told.append) is False
        server.shutdown()
    assert "FAILED" in told[0]
