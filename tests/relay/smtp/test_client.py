# SPDX-License-Identifier: AGPL-3.0-or-later
"""Transactions against scripted servers over real sockets; sessions are in test_handshake.py."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Target, Timeouts
from relay.smtp.replies import MAX_TEXT, Outcome, Scope, Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.smtp.transaction import Stale
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Raw, Script, Silence, Slow, greylisting

CONTEXTS = make_contexts()
CONTENT = b"From: hej@kunde.example\r\nSubject: Faktura\r\n\r\nHej\r\n.\r\n..\r\nslut\r\n"
QUICK = Timeouts(command=0.4, data=0.4, block=0.4, dot=0.4, goodbye=0.2, reused=0.3)
DELIVERED, RETRY, BOUNCED = Verdict


def envelope(*addresses: str, sender: str = "hej@kunde.example", **more) -> Envelope:
    addresses = addresses or ("erik@modtager.example",)
    return Envelope(sender, tuple(Recipient(address) for address in addresses), **more)


async def nothing() -> None:
    pass


@asynccontextmanager
async def connected(far_end: FarEnd, timeouts: Timeouts = QUICK):
    async with far_end:
        target = Target(
            host="localhost", address="127.0.0.1", port=far_end.port, tls=TlsPolicy.NONE
        )
        connection = await Connection.open(
            target, ehlo_name="mail.brevdue.example", contexts=CONTEXTS, timeouts=timeouts
        )
        try:
            yield connection
        finally:
            await connection.close()


async def send(script: Script, the_envelope: Envelope, content: bytes = CONTENT):
    """One message on a fresh connection: its outcomes, the server, and each mark's moment."""
    far_end, dots = FarEnd(script), []

    async def on_dot() -> None:
        dots.append(len(far_end.ledger))

    async with connected(far_end) as connection:
        outcomes = await connection.send(the_envelope, content, on_dot)
    return outcomes, far_end, dots


def verdicts(outcomes: list[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


STEPWISE = ("8BITMIME", "SMTPUTF8", "SIZE 100000")
both_ways = pytest.mark.parametrize("features", [("PIPELINING", *STEPWISE), STEPWISE])


@both_ways
@on_both_loops
async def test_message_arrives_byte_for_byte(features):
    outcomes, far_end, dots = await send(
        Script(features=features), envelope("erik@modtager.example", "Ea@modtager.example")
    )
    assert verdicts(outcomes) == [DELIVERED, DELIVERED]
    assert outcomes[0] == Outcome(
        verdict=DELIVERED,
        scope=Scope.RECIPIENT,
        code=250,
        enhanced="2.0.0",
        text="2.0.0 queued",
        remote_host="localhost",
        remote_address="127.0.0.1",
    )
    (received,) = far_end.ledger
    assert received.content == CONTENT
    assert received.recipients == ["erik@modtager.example", "Ea@modtager.example"]
    assert dots == [0]
    assert far_end.impatient == 0
    assert far_end.commands[-1] == "QUIT"


@both_ways
@on_both_loops
async def test_each_recipient_has_its_own_outcome(features):
    script = Script(
        features=features,
        rcpt={
            "b@x.example": "550 5.1.1 no such user",
            "c@x.example": "450 4.2.0 wait\n4.2.0 a bit",
        },
    )
    outcomes, far_end, _ = await send(
        script, envelope("a@x.example", "b@x.example", "c@x.example", "d@x.example")
    )
    assert verdicts(outcomes) == [DELIVERED, BOUNCED, RETRY, DELIVERED]
    assert [outcome.code for outcome in outcomes] == [250, 550, 450, 250]
    assert outcomes[2].text == "4.2.0 wait 4.2.0 a bit"
    assert far_end.ledger[0].recipients == ["a@x.example", "d@x.example"]


@both_ways
@pytest.mark.parametrize("code", [451, 554])
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "dot"])
@on_both_loops
async def test_refusal_at_each_verb_is_the_outcome(features, code, verb):
    reply = f"{code} {code // 100}.7.1 not today"
    script = Script(features=features)
    setattr(script, verb, [reply, "354 go" if verb == "data" else "250 ok"])
    far_end = FarEnd(script)
    async with connected(far_end) as connection:
        refused = await connection.send(envelope("a@x.example", "b@x.example"), CONTENT, nothing)
        assert connection.usable
        after = await connection.send(envelope(), CONTENT, nothing)
    expected = RETRY if code == 451 else BOUNCED
    if verb == "rcpt":  # the script refuses only the first
        assert verdicts(refused) == [expected, DELIVERED]
    else:
        assert verdicts(refused) == [expected, expected]
    assert refused[0].code == code
    assert not refused[0].after_dot
    assert verdicts(after) == [DELIVERED]
    assert far_end.ledger[-1].content == CONTENT
    assert far_end.connections == 1


@both_ways
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "dot"])
@on_both_loops
async def test_421_anywhere_is_temporary_and_ends_the_connection(features, verb):
    script = Script(features=features)
    setattr(script, verb, "421 4.3.2 shutting down")
    far_end = FarEnd(script)
    async with connected(far_end) as connection:
        outcomes = await connection.send(envelope("a@x.example", "b@x.example"), CONTENT, nothing)
        assert not connection.usable
    assert verdicts(outcomes) == [RETRY, RETRY]
    assert {outcome.scope for outcome in outcomes} == {Scope.INFRASTRUCTURE}
    assert outcomes[0].code == 421


@both_ways
@pytest.mark.parametrize("ending", [Drop(), Drop(reset=True), Silence(), Raw(b"\xff\x00huh?\r\n")])
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data"])
@on_both_loops
async def test_end_before_the_dot_is_certainly_not_delivered(features, ending, verb):
    script = Script(features=features)
    setattr(script, verb, ending)
    outcomes, far_end, dots = await send(script, envelope())
    assert verdicts(outcomes) == [RETRY]
    assert (outcomes[0].code, outcomes[0].enhanced) == (0, "4.4.2")
    assert not outcomes[0].after_dot
    assert dots == []
    assert far_end.ledger == []


@both_ways
@pytest.mark.parametrize("ending", [Drop(), Drop(reset=True), Silence(), Raw(b"\xff\x00huh?\r\n")])
@on_both_loops
async def test_end_after_the_dot_is_possibly_delivered(features, ending):
    outcomes, far_end, dots = await send(Script(features=features, dot=ending), envelope())
    assert verdicts(outcomes) == [RETRY]
    assert outcomes[0].scope is Scope.INFRASTRUCTURE
    assert outcomes[0].after_dot
    assert dots == [0]
    assert len(far_end.ledger) == 1


@on_both_loops
async def test_refused_recipient_keeps_its_bounce_when_the_connection_ends():
    script = Script(
        rcpt={"a@x.example": "550 5.1.1 no such user", "c@x.example": Drop()},
    )
    outcomes, _, _ = await send(script, envelope("a@x.example", "b@x.example", "c@x.example"))
    assert verdicts(outcomes) == [BOUNCED, RETRY, RETRY]


@on_both_loops
async def test_refused_recipient_is_not_marked_possibly_delivered():
    script = Script(rcpt={"a@x.example": "450 4.2.0 later"}, dot=Drop())
    outcomes, _, _ = await send(script, envelope("a@x.example", "b@x.example"))
    assert [outcome.after_dot for outcome in outcomes] == [False, True]


@pytest.mark.parametrize(
    ("ending", "verdict", "code"),
    [
        (Drop(), RETRY, 0),
        (Drop(reset=True), RETRY, 0),
        (Raw(b"552 5.3.4 too big\r\n", drop=True), BOUNCED, 552),
        (Raw(b"451 4.3.0 disk trouble\r\n"), RETRY, 451),
        (Raw(b"250 2.0.0 already\r\n"), RETRY, 0),
    ],
)
@on_both_loops
async def test_reply_or_end_during_the_body_means_no_dot(ending, verdict, code):
    far_end, dots = FarEnd(Script(body=ending, body_bytes=10)), []

    async def on_dot() -> None:
        # The mark takes a moment to commit; meanwhile the server speaks.
        await asyncio.sleep(0.1)
        dots.append(1)

    async with connected(far_end) as connection:
        outcomes = await connection.send(envelope(), CONTENT, on_dot)
        assert not connection.usable
    assert verdicts(outcomes) == [verdict]
    assert outcomes[0].code == code
    assert not outcomes[0].after_dot
    assert far_end.ledger == []


@on_both_loops
async def test_failing_mark_sends_no_dot_and_passes_through():
    far_end = FarEnd()

    async def on_dot() -> None:
        raise RuntimeError("database gone")

    async with connected(far_end) as connection:
        with pytest.raises(RuntimeError, match="database gone"):
            await connection.send(envelope(), CONTENT, on_dot)
        assert not connection.usable
        await asyncio.sleep(0.05)
    assert far_end.ledger == []


@on_both_loops
async def test_mark_comes_after_the_body_and_before_the_dot():
    far_end, seen = FarEnd(), []

    async def on_dot() -> None:
        await asyncio.sleep(0.1)
        seen.append((CONTENT[:-2].replace(b"\r\n.", b"\r\n..") in far_end.body, far_end.ledger[:]))

    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, on_dot)
    assert seen == [(True, [])]
    assert len(far_end.ledger) == 1


@on_both_loops
async def test_cancelling_takes_the_message_back():
    far_end = FarEnd(Script(data=Slow(0.2, "354 go")))
    async with connected(far_end) as connection:
        sending = asyncio.ensure_future(connection.send(envelope(), CONTENT, nothing))
        await asyncio.sleep(0.05)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not connection.usable
        await asyncio.sleep(0.3)
    assert far_end.ledger == []


@both_ways
@on_both_loops
async def test_recipients_past_the_servers_limit_go_into_the_next_transaction(features):
    def limit(address: str, _: int) -> str:
        return "250 2.1.5 ok" if len(far_end.in_transaction) < 3 else "452 4.5.3 too many"

    far_end, dots = FarEnd(Script(features=features, rcpt=limit)), []

    async def on_dot() -> None:
        dots.append(1)

    addresses = [f"r{number}@x.example" for number in range(8)]
    async with connected(far_end) as connection:
        outcomes = await connection.send(envelope(*addresses), CONTENT, on_dot)
    assert verdicts(outcomes) == [DELIVERED] * 8
    assert [len(received.recipients) for received in far_end.ledger] == [3, 3, 2]
    assert [r for received in far_end.ledger for r in received.recipients] == addresses
    assert len(dots) == 3


@on_both_loops
async def test_too_many_recipients_with_a_refused_body_waits():
    script = Script(rcpt=["250 ok", "452 4.5.3 too many"], dot="554 5.6.0 not this message")
    outcomes, far_end, _ = await send(script, envelope("a@x.example", "b@x.example"))
    assert verdicts(outcomes) == [BOUNCED, RETRY]
    assert len(far_end.ledger) == 1


@on_both_loops
async def test_two_hundred_and_fifty_recipients_go_in_groups():
    addresses = [f"r{number}@x.example" for number in range(250)]
    outcomes, far_end, _ = await send(Script(), envelope(*addresses))
    assert set(verdicts(outcomes)) == {DELIVERED}
    assert far_end.ledger[0].recipients == addresses


@on_both_loops
async def test_354_with_every_recipient_refused_gets_no_body():
    far_end = FarEnd(
        Script(rcpt=["550 5.1.1 no", "250 ok"], data=["354 go on then"], dot=["554 none", "250 ok"])
    )
    async with connected(far_end) as connection:
        outcomes = await connection.send(envelope(), CONTENT, nothing)
        assert verdicts(outcomes) == [BOUNCED]
        assert outcomes[0].code == 550
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [DELIVERED]
    assert [received.content for received in far_end.ledger] == [b"", CONTENT]


@on_both_loops
async def test_out_of_step_replies_end_the_connection():
    for script in (Script(data="250 what body?"), Script(dot="354 still here")):
        far_end = FarEnd(script)
        async with connected(far_end) as connection:
            outcomes = await connection.send(envelope(), CONTENT, nothing)
            assert not connection.usable
        assert verdicts(outcomes) == [RETRY]


@pytest.mark.parametrize(
    "reply",
    [
        Raw(b"250-again\r\n" * 5000),
        Raw(b"250 " + b"x" * 100_000 + b"\r\n"),
        Raw(b"x" * 1_000_000),
        Slow(0.05, "250 2.0.0 " + "drip" * 50, drip=True),
    ],
)
@on_both_loops
async def test_hostile_replies_are_cut_off(reply):
    started = asyncio.get_running_loop().time()
    outcomes, _, _ = await send(Script(mail=reply), envelope())
    assert verdicts(outcomes) == [RETRY]
    assert asyncio.get_running_loop().time() - started < 3


@on_both_loops
async def test_tarpit_is_left_when_the_dialogue_takes_too_long():
    far_end = FarEnd(Script(features=("8BITMIME",), rcpt=Slow(0.1, "250 ok")))
    timeouts = Timeouts(dialogue=0.5, goodbye=0.1)
    async with connected(far_end, timeouts) as connection:
        outcomes = await connection.send(
            envelope(*(f"r{number}@x.example" for number in range(50))), CONTENT, nothing
        )
    assert set(verdicts(outcomes)) == {RETRY}


@on_both_loops
async def test_remote_text_is_bounded():
    outcomes, _, _ = await send(Script(dot="550 " + "word " * 700), envelope())
    assert len(outcomes[0].text) <= MAX_TEXT


@on_both_loops
async def test_many_messages_share_a_connection_without_rset():
    far_end = FarEnd()
    async with connected(far_end) as connection:
        for _ in range(5):
            assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [DELIVERED]
    assert len(far_end.ledger) == 5
    assert far_end.connections == 1
    assert "RSET" not in far_end.commands


@both_ways
@pytest.mark.parametrize("verb", ["mail", "rset"])
@pytest.mark.parametrize("ending", [Drop(), "421 4.4.2 idle for too long", Silence()])
@on_both_loops
async def test_half_dead_reused_connection_is_stale(features, verb, ending):
    first = "451 4.3.0 no" if verb == "rset" else "250 ok"
    script = Script(features=features, mail=[first, ending], rset=ending)
    far_end, dots = FarEnd(script), []

    async def on_dot() -> None:
        dots.append(1)

    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        with pytest.raises(Stale):
            await connection.send(envelope(), CONTENT, on_dot)
        assert not connection.usable
    assert dots == []


@on_both_loops
async def test_reused_connection_that_ends_later_is_not_stale():
    far_end = FarEnd(Script(rcpt=["250 ok", Drop()]))
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [RETRY]


@on_both_loops
async def test_words_out_of_turn_make_a_connection_unusable():
    far_end = FarEnd(Script(after=Raw(b"250 2.0.0 and another thing\r\n")))
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        await asyncio.sleep(0.05)
        assert not connection.usable


@on_both_loops
async def test_flood_out_of_turn_is_cut_off():
    far_end = FarEnd(Script(after=Raw(b"250 2.0.0 and another thing\r\n" * 20_000)))
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        for _ in range(100):
            if connection._session.wire.ended:
                break
            await asyncio.sleep(0.01)
        assert connection._session.wire.ended == "the remote sends without being asked"


@both_ways
@on_both_loops
async def test_refused_reset_ends_the_connection(features):
    script = Script(features=features, mail=["451 4.3.0 no", "250 ok"], rset="500 5.5.1 what")
    far_end = FarEnd(script)
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [RETRY]
        assert not connection.usable
    assert far_end.ledger == []


@on_both_loops
async def test_greylisted_recipient_is_taken_the_second_time():
    far_end = FarEnd(Script(rcpt=greylisting()))
    async with connected(far_end) as connection:
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [RETRY]
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [DELIVERED]


@on_both_loops
async def test_large_body_crosses_in_blocks():
    content = b"Subject: stor\r\n\r\n" + (b"." + b"x" * 997 + b"\r\n") * 8000
    far_end = FarEnd()
    async with connected(far_end, Timeouts()) as connection:
        assert verdicts(await connection.send(envelope(), content, nothing)) == [DELIVERED]
    assert far_end.ledger[0].content == content


@on_both_loops
async def test_server_that_stops_reading_is_left():
    content = b"Subject: stor\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000
    outcomes, _, dots = await send(Script(body=Silence(), body_bytes=10), envelope(), content)
    assert verdicts(outcomes) == [RETRY]
    assert not outcomes[0].after_dot
    assert dots == []


@pytest.mark.parametrize(
    ("features", "the_envelope", "content", "enhanced"),
    [
        (("SIZE 20",), envelope(), CONTENT, "5.3.4"),
        (("SMTPUTF8",), envelope(), b"Subject: x\r\n\r\nsm\xc3\xb8r\r\n", "5.6.3"),
        (("8BITMIME",), envelope("søren@x.example"), CONTENT, "5.6.7"),
        (("8BITMIME",), envelope(sender="søren@x.example"), CONTENT, "5.6.7"),
        (
            ("8BITMIME",),
            envelope(smtputf8=True),
            b"Subject: sm\xc3\xb8r\r\n\r\nx\r\n",
            "5.6.7",
        ),
        ((), envelope(), b"Subject: x\n\r\nx\r\n", "5.6.0"),
        ((), envelope(), b"Subject: x\r\n\r\nx\r\n.\rMAIL\r\n", "5.6.0"),
        ((), envelope(), b"Subject: x\r\n\r\nx\0\r\n", "5.6.0"),
        ((), envelope(sender="a@b> SIZE=1\r\nRCPT TO:<c@d"), CONTENT, "5.1.7"),
    ],
)
@on_both_loops
async def test_what_the_server_cannot_take_is_never_offered(
    features, the_envelope, content, enhanced
):
    outcomes, far_end, dots = await send(Script(features=features), the_envelope, content)
    assert [(o.verdict, o.code, o.enhanced) for o in outcomes] == [(BOUNCED, 0, enhanced)]
    assert not any(command.startswith("MAIL") for command in far_end.commands)
    assert dots == []


@on_both_loops
async def test_parameters_follow_what_the_server_offers():
    recipient = Recipient("søren@x.example", notify="FAILURE,DELAY", orcpt="utf-8;s+2B")
    mail = Envelope("hej@kunde.example", (recipient,), smtputf8=True, ret="HDRS", envid="QQ1")
    content = "Subject: smør\r\n\r\nx\r\n".encode()
    _, far_end, _ = await send(Script(), mail, content)
    assert far_end.commands[1:3] == [
        f"MAIL FROM:<hej@kunde.example> SIZE={len(content)} BODY=8BITMIME SMTPUTF8"
        " RET=HDRS ENVID=QQ1",
        "RCPT TO:<søren@x.example> NOTIFY=FAILURE,DELAY ORCPT=utf-8;s+2B",
    ]
    plain = Envelope("", (Recipient("erik@x.example", "NEVER", "rfc822;x"),), "8BITMIME", True)
    _, far_end, _ = await send(Script(features=()), plain)
    assert far_end.commands[1:3] == ["MAIL FROM:<>", "RCPT TO:<erik@x.example>"]


@on_both_loops
async def test_only_the_bad_address_is_refused():
    bad = "erik@x.example>\r\nRCPT TO:<mallory@y.example"
    outcomes, far_end, _ = await send(Script(), envelope(bad, "erik@x.example"))
    assert verdicts(outcomes) == [BOUNCED, DELIVERED]
    assert outcomes[0].enhanced == "5.1.3"
    assert far_end.ledger[0].recipients == ["erik@x.example"]
