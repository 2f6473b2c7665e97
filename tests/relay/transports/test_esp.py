# SPDX-License-Identifier: AGPL-3.0-or-later
"""The transport for providers against their interfaces on loopback: real backends, real sockets."""

from __future__ import annotations

import asyncio
import logging
import threading
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from relay.esp.posting import Account, Channel, probe
from relay.esp.providers import PROVIDERS, Keys
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.transports import NotNow, OpenGate, Permit, RouteTarget
from relay.transports.esp import Esp
from tests.testbed import esp
from tests.testbed.certificates import Authority
from tests.testbed.esp import Answer, Api, Drip, Reset
from tests.testbed.loop import on_both_loops

ROUTE = UUID("019a0000-0000-7000-8000-00000000bbbb")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOKEN = "b" + "a7" * 23 + "k"
ERIK, IDA, BO = "erik@modtager.example", "ida@modtager.example", "bo@skjult.example"
CONTENT = (
    f"From: Hej <hej@kunde.example>\r\nTo: {ERIK}, {IDA}\r\nSubject: Rykker\r\n"
    "Message-ID: <1@kunde.example>\r\n\r\nBetal venligst.\r\n"
).encode()


def envelope(*recipients: str) -> Envelope:
    return Envelope(TOKEN, tuple(map(Recipient, recipients or (ERIK,))))


def target(provider: str = "postmark", **more) -> RouteTarget:
    username = esp.USERNAME if provider == "mailjet" else ""
    values: dict[str, Any] = {"kind": "esp", "provider": provider, "provider_domain": esp.DOMAIN,
              "username": username, "password": esp.KEY, "route_id": ROUTE}  # fmt: skip
    return RouteTarget(**values | more)


class Told(OpenGate):
    """A gate that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def failed(self, target: RouteTarget) -> datetime | None:
        self.said.append("failed")
        return None

    async def worked(self, target: RouteTarget) -> None:
        self.said.append("worked")


class Sender:
    """A transport, and what it asked for on the way."""

    def __init__(self, api: Api, **more) -> None:
        self.dots: list[Sequence[int]] = []
        self.now = NOW
        self.gate = Told()
        values: dict[str, Any] = {
            "now": lambda: self.now,
            "threads": 4,
            "gate": self.gate,
            "urls": api.urls,
        }
        self.transport = Esp(**{"urls": api.urls} | values | more)

    async def send(
        self, to: RouteTarget, recipients: Envelope, content: bytes = CONTENT
    ) -> list[Outcome | None]:
        async def load() -> bytes:
            return content

        async def on_dot(places: Sequence[int]) -> None:
            self.dots.append(places)

        return await self.transport.send(to, recipients, load, on_dot)


async def one(api: Api, to: RouteTarget | None = None, *recipients: str, **more) -> Outcome:
    sender = Sender(api, **more)
    try:
        (outcome,) = await sender.send(to or target(), envelope(*recipients))
    finally:
        await sender.transport.close()
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_mail_arrives_as_it_was_written(provider):
    with Api() as api:
        outcome = asyncio.run(one(api, target(provider)))
    (sent,) = api.ledger
    assert (outcome.verdict, outcome.after_dot) == (Verdict.DELIVERED, False)
    assert outcome.text.startswith(f"taken by {PROVIDERS[provider].title}")
    assert (sent.to, sent.cc, sent.subject) == ([ERIK], [], "Rykker")
    assert "hej@kunde.example" in sent.sender
    assert sent.text.replace("\r\n", "\n") == "Betal venligst.\n"
    assert sent.token == TOKEN
    assert sent.files == []


@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_message_of_several_recipients_is_told_call_by_call(provider):
    async def run() -> list[list[Outcome | None]]:
        sender = Sender(api)
        told = [await sender.send(target(provider), envelope(BO, ERIK, IDA))]
        told.append(await sender.send(target(provider), envelope(BO)))
        await sender.transport.close()
        assert sender.dots == [(1, 2), (0,)]
        return told

    with Api() as api:
        first, second = asyncio.run(run())
    assert [bool(outcome) for outcome in first] == [False, True, True]
    assert [bool(outcome) for outcome in second] == [True]
    assert [sent.to for sent in api.ledger] == [[ERIK, IDA], [BO]]


CASES = [
    (Answer(401, {"Message": "no"}), Verdict.RETRY, Scope.ROUTE, 535, False),
    (Answer(403, "<html>"), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, False),
    (Answer(404, {"Message": "no"}), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, False),
    (Answer(429, {"Message": "slow"}), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, False),
    (Answer(503, "busy"), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, False),
    (Answer(500, "oh", taken=True), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, True),
    (Answer(200, "<html>", taken=True), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, True),
    (Answer(302, "", {"Location": "http://127.0.0.1:1/"}), Verdict.RETRY,
     Scope.INFRASTRUCTURE, 0, True),
    (Answer(400, {"Message": "bad"}), Verdict.BOUNCED, Scope.POLICY, 0, False),
    (Answer(413, {"Message": "big"}), Verdict.BOUNCED, Scope.POLICY, 0, False),
    (Answer(422, {"ErrorCode": 405, "Message": "Not allowed to send: no credits"}),
     Verdict.RETRY, Scope.INFRASTRUCTURE, 0, False),
    (Answer(422, {"ErrorCode": 300, "Message": f"Invalid 'To' address: '{ERIK}'."}),
     Verdict.BOUNCED, Scope.RECIPIENT, 0, False),
    (Answer(422, {"ErrorCode": 406, "Message": f"Found inactive addresses: {ERIK}. Inactive"
                  " recipients are ones"}), Verdict.BOUNCED, Scope.POLICY, 0, False),
    (Reset(), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, True),
    (Reset(taken=True), Verdict.RETRY, Scope.INFRASTRUCTURE, 0, True),
]  # fmt: skip


@pytest.mark.parametrize(("action", "verdict", "scope", "code", "after_dot"), CASES)
def test_every_answer_has_its_meaning(action, verdict, scope, code, after_dot):
    with Api([action]) as api:
        outcome = asyncio.run(one(api))
    assert (outcome.verdict, outcome.scope) == (verdict, scope)
    assert (outcome.code, outcome.after_dot) == (code, after_dot)


@pytest.mark.behaviour(33)
@pytest.mark.parametrize("provider", esp.NAMES)
@pytest.mark.parametrize("status", [500, 502, 504])
def test_what_may_have_been_taken_is_never_called_untaken(provider, status):
    with Api([Answer(status, "x", taken=True)]) as api:
        outcome = asyncio.run(one(api, target(provider)))
    assert len(api.ledger) == 1
    assert (outcome.verdict, outcome.after_dot) == (Verdict.RETRY, True)


@pytest.mark.behaviour(32)
@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_key_that_nobody_knows_is_a_refused_sign_in(provider):
    with Api() as api:
        outcome = asyncio.run(one(api, replace(target(provider), password="forkert")))
    assert (outcome.scope, outcome.code) == (Scope.ROUTE, 535)
    assert api.ledger == []


def test_nobody_there_is_certainly_not_sent():
    with Api() as api:
        urls = api.urls
    sender_urls = {"urls": urls}

    async def run() -> tuple[Outcome | None, list[str]]:
        sender = Sender(api, **sender_urls)
        (outcome,) = await sender.send(target(), envelope())
        return outcome, sender.gate.said

    outcome, said = asyncio.run(run())
    assert outcome is not None
    assert (outcome.enhanced, outcome.after_dot) == ("4.4.1", False)
    assert said == ["failed"]


def test_an_answer_says_that_the_provider_works():
    async def run() -> list[str]:
        sender = Sender(api)
        for _ in range(3):
            await sender.send(target(), envelope())
        return sender.gate.said

    with Api([None, Answer(400, {}), Answer(503, "")]) as api:
        assert asyncio.run(run()) == ["worked", "worked", "failed"]


@pytest.mark.parametrize(("header", "seconds"), [("30", 30), ("", 60), ("99999", 900), ("x", 60)])
def test_too_fast_waits_as_long_as_it_is_told(header, seconds):
    async def run() -> None:
        sender = Sender(api)
        assert await sender.send(target(), envelope())
        with pytest.raises(NotNow) as not_now:
            await sender.send(target(), envelope())
        assert (not_now.value.reason, not_now.value.until) == (
            "paced",
            NOW + timedelta(seconds=seconds),
        )
        assert sender.dots == [(0,)]
        sender.now += timedelta(seconds=seconds)
        assert await sender.send(target(), envelope())

    with Api([Answer(429, {}, {"Retry-After": header}), None]) as api:
        asyncio.run(run())
    assert len(api.ledger) == 1


@on_both_loops
async def test_a_channel_is_kept_for_one_account_and_for_no_other():
    with Api() as api:
        sender = Sender(api)
        others = [
            target(),
            target(),
            replace(target(), version=1),
            replace(target(), route_id=UUID(int=7)),
            target(),
        ]
        for other in others:
            await sender.send(other, envelope())
        await sender.transport.close()
        assert [sent.connection for sent in api.ledger] == [1, 1, 2, 3, 1]


@pytest.mark.behaviour(33)
def test_cookies_redirects_and_settings_of_the_host_are_not_followed(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def run() -> None:
        sender = Sender(api)
        told = [await sender.send(target(), envelope()) for _ in range(2)]
        verdicts = [outcome.verdict for (outcome,) in told if outcome]
        assert verdicts == [Verdict.DELIVERED, Verdict.RETRY]
        await sender.transport.close()

    with Api() as other:
        moved = Answer(307, "", {"Location": other.urls["postmark"] + "email"})
        with Api([Answer(200, {"Message": "OK", "To": ERIK, "MessageID": "1"},
                         {"Set-Cookie": "spor=1"}, taken=True), moved]) as api:  # fmt: skip
            asyncio.run(run())
            assert b"spor" not in api.clear
    assert other.calls == 0


@on_both_loops
async def test_no_more_threads_than_allowed_and_the_rest_is_handed_back(monkeypatch):
    monkeypatch.setattr("relay.transports.esp.LINE_SECONDS", 0.1)
    with Api([Drip(0.003)]) as api:
        sender = Sender(api, threads=2)
        sent = [sender.send(target(), envelope()) for _ in range(3)]
        results = await asyncio.gather(*sent, return_exceptions=True)
        await sender.transport.close()
    assert [type(result) for result in results] == [list, list, NotNow]
    assert len(sender.dots) == 2


def esp_threads() -> int:
    return sum(thread.name == "esp" for thread in threading.enumerate())


@on_both_loops
async def test_an_answer_without_an_end_is_given_up_and_keeps_its_thread(monkeypatch):
    monkeypatch.setattr("relay.transports.esp.LINE_SECONDS", 0.05)
    with Api([Drip(0.005)]) as api:
        sender = Sender(api, threads=1, deadline=0.2)
        (outcome,) = await sender.send(target(), envelope())
        assert outcome is not None
        assert (outcome.verdict, outcome.after_dot) == (Verdict.RETRY, True)
        with pytest.raises(NotNow):
            await sender.send(target(), envelope())
        while esp_threads():
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.02)
        assert await sender.send(target(), envelope())
        await sender.transport.close()


@on_both_loops
async def test_a_full_route_is_asked_no_more():
    class Full(OpenGate):
        async def take(self, target: RouteTarget) -> None:
            return None

    with Api() as api:
        sender = Sender(api, gate=Full(), threads=1)
        for _ in range(2):
            with pytest.raises(NotNow):
                await sender.send(target(), envelope())
    assert (api.calls, sender.dots) == (0, [])


@on_both_loops
async def test_a_route_with_one_place_takes_one_mail_after_the_other():
    class One(OpenGate):
        given: Permit | None = None

        async def take(self, target: RouteTarget) -> Permit | None:
            if self.given is not None:
                return None
            self.given = Permit()
            return self.given

        async def give(self, permit: Permit) -> None:
            self.given = None

    gate = One()
    with Api() as api:
        sender = Sender(api, gate=gate)
        sent = [sender.send(target(concurrency=1), envelope()) for _ in range(6)]
        assert all(await asyncio.gather(*sent))
        await sender.transport.close()
    assert (len(api.ledger), gate.given) == (6, None)


@on_both_loops
async def test_a_lost_lease_keeps_the_call_from_being_made():
    class Lost(Exception):
        pass

    async def load() -> bytes:
        return CONTENT

    async def on_dot(places: Sequence[int]) -> None:
        raise Lost

    with Api() as api:
        sender = Sender(api, threads=1)
        for _ in range(2):
            with pytest.raises(Lost):
                await sender.transport.send(target(), envelope(), load, on_dot)
    assert api.calls == 0


@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_mail_that_cannot_be_given_bounces_before_any_dot(provider):
    content = CONTENT.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/encrypted\r\n\r\n")

    async def run() -> Outcome | None:
        sender = Sender(api)
        (outcome,) = await sender.send(target(provider), envelope(), content)
        assert sender.dots == []
        return outcome

    with Api() as api:
        outcome = asyncio.run(run())
    assert outcome is not None
    assert (outcome.verdict, outcome.scope) == (Verdict.BOUNCED, Scope.POLICY)
    assert api.calls == 0


def test_what_a_backend_cannot_say_bounces_without_a_call():
    content = CONTENT.replace(b"Subject", b"Reply-To: a@kunde.example, b@kunde.example\r\nSubject")

    async def run() -> Outcome | None:
        (outcome,) = await Sender(api).send(target("mailjet"), envelope(), content)
        return outcome

    with Api() as api:
        outcome = asyncio.run(run())
    assert outcome is not None
    assert (outcome.verdict, outcome.enhanced) == (Verdict.BOUNCED, "5.6.3")
    assert api.calls == 0


@pytest.mark.parametrize("action", [action for action, *_ in CASES])
def test_nothing_of_a_mail_or_a_key_is_logged(action, caplog):
    with caplog.at_level(logging.DEBUG), Api([action]) as api:
        asyncio.run(one(api))
    said = caplog.text
    assert not any(word in said for word in (ERIK, "modtager", "Betal", esp.KEY, "Rykker"))


@pytest.mark.behaviour(37)
@pytest.mark.parametrize("provider", esp.NAMES)
def test_no_value_holds_a_line_end(provider):
    folded = CONTENT.replace(b"Subject: Rykker", b"Subject: Rykker\r\n nummer to\r\nX-A: b\r\n\tc")

    async def run() -> None:
        await Sender(api).send(target(provider), envelope(), folded)

    with Api() as api:
        asyncio.run(run())
    (sent,) = api.ledger
    values = [*sent.fields.values(), sent.subject, sent.sender, *sent.to]
    assert sent.subject == "Rykker nummer to"
    assert not any(end in value for value in values for end in "\r\n\0")


@pytest.mark.parametrize("provider", esp.NAMES)
def test_files_arrive_octet_for_octet(provider):
    octets = bytes(range(256)) * 40
    lines = [
        'Content-Type: multipart/mixed; boundary="g"', "", "--g", "Content-Type: text/plain", "",
        "hej", "--g", 'Content-Type: application/pdf; name="bilag æ.pdf"',
        "Content-Transfer-Encoding: base64", "", *b64encode(octets).decode().split(), "--g--", "",
    ]  # fmt: skip
    content = CONTENT.partition(b"\r\n\r\n")[0] + b"\r\n" + "\r\n".join(lines).encode()

    async def run() -> None:
        await Sender(api).send(target(provider), envelope(), content)

    with Api() as api:
        asyncio.run(run())
    ((name, arrived, _),) = api.ledger[0].files
    assert (name, arrived) == ("bilag æ.pdf", octets)


# The certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("esp"))


def test_the_channel_is_verified_and_its_evidence_kept(authority):
    with Api(tls=authority.server("127.0.0.1")) as api:
        outcome = asyncio.run(one(api, ca_file=str(authority.ca_file)))
    assert outcome.verdict is Verdict.DELIVERED
    assert (outcome.tls_version, outcome.tls_verified) == ("TLSv1.3", True)


def test_a_false_certificate_gets_neither_mail_nor_key(authority):
    with Api(tls=authority.server("127.0.0.1")) as api:
        outcome = asyncio.run(one(api))
    assert (outcome.enhanced, outcome.after_dot) == ("4.7.5", False)
    assert (api.calls, bytes(api.clear)) == (0, b"")


# The test of a route


def account(api: Api, provider: str, key: str = esp.KEY) -> Account:
    return Account(provider=PROVIDERS[provider], url=api.urls[provider], keys=Keys(key),
                   username=esp.USERNAME, domain=esp.DOMAIN)  # fmt: skip


@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_probe_finds_out_about_the_key_and_sends_nothing(provider):
    with Api() as api:
        good = probe(account(api, provider), Channel.open())
        bad = probe(account(api, provider, "forkert"), Channel.open())
    assert (good.verdict, bad.scope, bad.code) == (Verdict.DELIVERED, Scope.ROUTE, 535)
    assert api.ledger == []


def test_a_probe_tells_what_the_provider_says_of_the_account():
    with Api([Answer(422, {"Message": "Your account is pending approval"})]) as api:
        found = probe(account(api, "postmark"), Channel.open())
    assert found.verdict is Verdict.RETRY
    assert "pending approval" in found.text
