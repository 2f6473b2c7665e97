# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages through the client: outcomes, limits, hostile servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Timeouts
from relay.smtp.replies import MAX_TEXT, Outcome, Scope, Stage
from tests.relay.smtp.sending import (
    BOUNCED,
    CONTENT,
    DELIVERED,
    RETRY,
    both_ways,
    connected,
    envelope,
    nothing,
    send,
    verdicts,
)
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Raw, Script, Silence, Slow, greylisting


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
        stage=Stage.DOT,
        tls_demand="none",
        tls_result="plain",
    )
    (received,) = far_end.ledger
    assert received.content == CONTENT
    assert received.recipients == ["erik@modtager.example", "Ea@modtager.example"]
    assert dots == [0]
    assert far_end.impatient == 0
    assert far_end.commands[-1] == "QUIT"


@both_ways
@on_both_loops
@pytest.mark.behaviour(24)
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
@pytest.mark.behaviour(31)
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
    assert (refused[0].code, refused[0].stage) == (code, verb)
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
@pytest.mark.behaviour(33)
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


@both_ways
@on_both_loops
@pytest.mark.behaviour(36)
async def test_recipients_past_the_servers_limit_are_for_the_next_transaction(features):
    def limit(address: str, _: int) -> str:
        return "250 2.1.5 ok" if len(far_end.in_transaction) < 3 else "452 4.5.3 too many"

    far_end, dots = FarEnd(Script(features=features, rcpt=limit)), []

    async def on_dot(taken: Sequence[int]) -> None:
        dots.append(1)

    addresses, counts = [f"r{number}@x.example" for number in range(8)], []
    async with connected(far_end) as connection:
        rest = addresses
        while rest:
            outcomes = verdicts(await connection.send(envelope(*rest), CONTENT, on_dot))
            counts.append(outcomes.count(DELIVERED))
            assert outcomes == [DELIVERED] * counts[-1] + [None] * (len(rest) - counts[-1])
            rest = rest[counts[-1] :]
    assert counts == [3, 3, 2]
    assert [r for received in far_end.ledger for r in received.recipients] == addresses
    assert len(dots) == far_end.used["dot"] == 3


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
@pytest.mark.behaviour(19)
@pytest.mark.behaviour(36)
async def test_what_the_server_cannot_take_is_never_offered(
    features, the_envelope, content, enhanced
):
    outcomes, far_end, dots = await send(Script(features=features), the_envelope, content)
    assert [(o.verdict, o.code, o.enhanced) for o in outcomes] == [(BOUNCED, 0, enhanced)]
    assert not any(command.startswith("MAIL") for command in far_end.commands)
    assert dots == []


@on_both_loops
@pytest.mark.behaviour(36)
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


@pytest.mark.parametrize(
    "bad",
    [
        "erik@x.example>\r\nRCPT TO:<mallory@y.example",
        "erik@x.example\rDATA",
        "erik@x.example\nDATA",
        "erik\r\n@x.example",
        "\0erik@x.example",
        "erik@x.example> NOTIFY=NEVER",
    ],
)
@on_both_loops
@pytest.mark.behaviour(37)
async def test_only_the_bad_address_is_refused(bad):
    outcomes, far_end, _ = await send(Script(), envelope(bad, "erik@x.example"))
    assert verdicts(outcomes) == [BOUNCED, DELIVERED]
    assert outcomes[0].enhanced == "5.1.3"
    assert far_end.ledger[0].recipients == ["erik@x.example"]
    assert [line for line in far_end.commands if line.startswith("RCPT")] == [
        "RCPT TO:<erik@x.example>"
    ]
    outcomes, far_end, _ = await send(Script(), envelope("erik@x.example", sender=bad))
    assert verdicts(outcomes) == [BOUNCED]
    assert not any(line.startswith("MAIL") for line in far_end.commands)


@on_both_loops
async def test_refusal_of_the_whole_names_no_address_that_does_not_exist():
    script = Script(dot="550 5.1.1 no such user")
    (alone,), _, _ = await send(script, envelope("a@x.example"))
    both, _, _ = await send(script, envelope("a@x.example", "b@x.example"))
    assert alone.is_hard
    assert [outcome.is_hard for outcome in both] == [False, False]
