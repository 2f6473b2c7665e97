# SPDX-License-Identifier: AGPL-3.0-or-later
"""Greeting, EHLO, TLS policies and sign-in, against scripted servers over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import SessionError, Target, Timeouts, parse_features
from relay.smtp.replies import Outcome, Reply, Scope, Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from tests.relay.smtp.sending import decided
from tests.testbed.certificates import Authority
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Raw, Script, Silence, Slow

QUICK = Timeouts(connect=0.5, tls=0.5, greeting=0.4, command=0.4, goodbye=0.2)
ENVELOPE = Envelope("hej@kunde.example", (Recipient("erik@modtager.example"),))
SECRET = "hemmelig-nok"


async def nothing(taken: Sequence[int]) -> None:
    pass


async def attempt(
    authority: Authority,
    far_end: FarEnd,
    policy: TlsPolicy,
    user: str = "",
    host: str = "localhost",
    **more,
) -> Outcome:
    """Open, send one message, close; the outcome of whichever step ended it."""
    async with far_end:
        target = Target(
            host=host,
            address="127.0.0.1",
            port=far_end.port,
            tls=policy,
            username=user,
            password=SECRET if user else "",
            **more,
        )
        try:
            connection = await Connection.open(
                target,
                ehlo_name="mail.brevdue.example",
                contexts=make_contexts(str(authority.ca_file)),
                timeouts=QUICK,
            )
        except SessionError as error:
            return error.outcome
        (outcome,) = decided(await connection.send(ENVELOPE, b"Subject: x\r\n\r\nx\r\n", nothing))
        await connection.close()
        return outcome


@pytest.mark.parametrize(
    ("verb", "action", "verdict", "scope", "code"),
    [
        ("greeting", "554 5.7.1 no", Verdict.RETRY, Scope.INFRASTRUCTURE, 554),
        ("greeting", "421 4.3.2 busy", Verdict.RETRY, Scope.INFRASTRUCTURE, 421),
        ("greeting", "521 5.3.2 takes no mail", Verdict.RETRY, Scope.INFRASTRUCTURE, 521),
        ("greeting", Drop(), Verdict.RETRY, Scope.INFRASTRUCTURE, 0),
        ("greeting", Silence(), Verdict.RETRY, Scope.INFRASTRUCTURE, 0),
        ("greeting", Raw(b"SSH-2.0-OpenSSH\r\n"), Verdict.RETRY, Scope.INFRASTRUCTURE, 0),
        ("ehlo", "550 5.7.1 bad name", Verdict.RETRY, Scope.INFRASTRUCTURE, 550),
        ("ehlo", Drop(), Verdict.RETRY, Scope.INFRASTRUCTURE, 0),
    ],
)
@on_both_loops
async def test_trouble_before_mail_is_not_the_recipients(
    authority, verb, action, verdict, scope, code
):
    script = Script()
    setattr(script, verb, action)
    outcome = await attempt(authority, FarEnd(script), TlsPolicy.NONE)
    assert (outcome.verdict, outcome.scope, outcome.code) == (verdict, scope, code)
    assert outcome.stage == verb
    assert not outcome.after_dot


@pytest.mark.behaviour(31)
@pytest.mark.parametrize("verb", ["greeting", "ehlo"])
@on_both_loops
async def test_host_of_the_dns_that_takes_no_mail_ends_it_and_a_customers_own_does_not(
    authority, verb
):
    script = Script()
    setattr(script, verb, "521 5.3.2 takes no mail")
    outcome = await attempt(authority, FarEnd(script), TlsPolicy.NONE, is_mx=True)
    assert (outcome.verdict, outcome.code) == (Verdict.BOUNCED, 521)
    outcome = await attempt(authority, FarEnd(script), TlsPolicy.NONE)
    assert (outcome.verdict, outcome.code) == (Verdict.RETRY, 521)


@pytest.mark.behaviour(29)
@pytest.mark.parametrize(
    ("is_mx", "verdict", "enhanced"),
    [(True, Verdict.BOUNCED, "5.4.6"), (False, Verdict.RETRY, "4.4.6")],
)
@pytest.mark.parametrize("verb", ["greeting", "ehlo"])
@on_both_loops
async def test_server_that_bears_our_name_gets_no_mail(authority, verb, is_mx, verdict, enhanced):
    script = Script()
    code = "220" if verb == "greeting" else "250"
    setattr(script, verb, f"{code} Mail.Brevdue.example. at your service")
    far_end = FarEnd(script)
    outcome = await attempt(authority, far_end, TlsPolicy.NONE, is_mx=is_mx)
    assert (outcome.verdict, outcome.enhanced, outcome.stage) == (verdict, enhanced, verb)
    assert far_end.ledger == []
    assert not any(command.startswith("MAIL") for command in far_end.commands)


@pytest.mark.behaviour(33)
@on_both_loops
async def test_all_that_comes_before_mail_shares_one_limit(authority):
    script = Script(greeting=Slow(0.2, "220 far.example"), ehlo=Slow(0.2, "250 far.example"))
    target_limits = Timeouts(session=0.3, goodbye=0.1)
    async with FarEnd(script) as far_end:
        target = Target(
            host="localhost", address="127.0.0.1", port=far_end.port, tls=TlsPolicy.NONE
        )
        with pytest.raises(SessionError) as caught:
            await Connection.open(
                target,
                ehlo_name="m.example",
                contexts=make_contexts(),
                timeouts=target_limits,
            )
    # Neither answer alone takes longer than all of it may.
    assert caught.value.outcome.stage == "ehlo"
    assert caught.value.outcome.text == "no reply in time"


@pytest.mark.behaviour(33)
def test_limits_are_those_of_the_standard():
    """RFC 5321 §4.5.3.2, in seconds."""
    limits = Timeouts()
    assert (limits.greeting, limits.command) == (300, 300)
    assert (limits.data, limits.block, limits.dot) == (120, 180, 600)
    assert limits.session >= limits.greeting
    assert limits.dialogue >= limits.command


@on_both_loops
async def test_greeting_of_several_lines_and_helo_only_server(authority):
    script = Script(greeting="220 far.example\nno spam\nplease", ehlo="502 5.5.1 what")
    far_end = FarEnd(script)
    outcome = await attempt(authority, far_end, TlsPolicy.NONE)
    assert outcome.verdict is Verdict.DELIVERED
    assert far_end.commands[1] == "HELO mail.brevdue.example"
    assert far_end.impatient == 0


@on_both_loops
async def test_refused_helo_is_the_hosts(authority):
    script = Script(ehlo="502 5.5.1 what", helo="550 go away")
    outcome = await attempt(authority, FarEnd(script), TlsPolicy.NONE)
    assert (outcome.verdict, outcome.code) == (Verdict.RETRY, 502)


@on_both_loops
async def test_closed_port_and_silent_address(authority):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    target = Target(host="localhost", address="127.0.0.1", port=port, tls=TlsPolicy.NONE)
    with pytest.raises(SessionError) as caught:
        await Connection.open(target, ehlo_name="m.example", contexts=make_contexts())
    assert caught.value.outcome.enhanced == "4.4.1"
    assert caught.value.outcome.verdict is Verdict.RETRY


@pytest.mark.parametrize("policy", [TlsPolicy.STARTTLS, TlsPolicy.IMPLICIT])
@on_both_loops
async def test_verified_tls_leaves_its_evidence(authority, policy):
    far_end = FarEnd(tls=authority.server("localhost"), implicit=policy is TlsPolicy.IMPLICIT)
    outcome = await attempt(authority, far_end, policy)
    assert outcome.verdict is Verdict.DELIVERED
    assert outcome.tls_version == "TLSv1.3"
    assert outcome.tls_cipher.startswith("TLS_")
    assert outcome.tls_verified
    assert far_end.ledger[0].tls
    assert b"MAIL" not in far_end.clear


@on_both_loops
async def test_certificate_for_the_address_is_enough_for_an_address(authority):
    far_end = FarEnd(tls=authority.server("127.0.0.1"))
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS, host="127.0.0.1")
    assert outcome.tls_verified


@pytest.mark.parametrize("flaw", ["expired", "other name", "self-signed"])
@pytest.mark.parametrize("policy", [TlsPolicy.STARTTLS, TlsPolicy.IMPLICIT])
@on_both_loops
async def test_required_tls_accepts_no_bad_certificate(authority, tmp_path, policy, flaw):
    far_end = FarEnd(tls=bad(authority, tmp_path, flaw), implicit=policy is TlsPolicy.IMPLICIT)
    outcome = await attempt(authority, far_end, policy)
    assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.7.5")
    assert (outcome.stage, outcome.tls_result) == ("starttls", "failed")
    assert "certificate" in outcome.text
    assert far_end.ledger == []
    assert not any(command.startswith("MAIL") for command in far_end.commands)


def bad(authority: Authority, directory: Path, flaw: str) -> ssl.SSLContext:
    if flaw == "expired":
        return authority.expired("localhost")
    if flaw == "other name":
        return authority.server("elsewhere.example")
    return Authority(directory).server("localhost")


@on_both_loops
async def test_opportunistic_tls_takes_a_bad_certificate_and_says_so(authority, tmp_path):
    far_end = FarEnd(tls=bad(authority, tmp_path, "self-signed"))
    outcome = await attempt(authority, far_end, TlsPolicy.OPPORTUNISTIC)
    assert outcome.verdict is Verdict.DELIVERED
    assert outcome.tls_version == "TLSv1.3"
    assert not outcome.tls_verified
    assert far_end.ledger[0].tls


@pytest.mark.parametrize(
    "script",
    [
        Script(starttls="454 4.7.0 no certificate today"),
        Script(starttls=Raw(b"220 go\r\nthis is not TLS at all, sorry\r\n", drop=True)),
        Script(starttls=Raw(b"220 go\r\n", drop=True)),
    ],
)
@on_both_loops
async def test_broken_starttls_is_fatal_only_where_tls_is_required(authority, script):
    far_end = FarEnd(script, tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS)
    assert outcome.verdict is Verdict.RETRY
    assert far_end.ledger == []
    far_end = FarEnd(script, tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS, user="kunde")
    assert outcome.verdict is Verdict.RETRY
    assert b"AUTH" not in far_end.clear


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(
    "starttls",
    [
        "454 4.7.0 no certificate",
        Raw(b"220 go\r\n", drop=True),
        Raw(b"", drop=True),
    ],
)
@on_both_loops
async def test_opportunistic_tls_goes_on_in_clear(authority, starttls):
    far_end = FarEnd(Script(starttls=starttls), tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, TlsPolicy.OPPORTUNISTIC)
    assert outcome.verdict is Verdict.DELIVERED
    assert outcome.tls_version == ""
    assert (outcome.tls_demand, outcome.tls_result) == ("may", "failed")
    assert not far_end.ledger[0].tls


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(
    ("policy", "offered", "demand", "result"),
    [
        (TlsPolicy.NONE, True, "none", "plain"),
        (TlsPolicy.OPPORTUNISTIC, False, "may", "not_offered"),
        (TlsPolicy.OPPORTUNISTIC, True, "may", "unverified"),
        (TlsPolicy.STARTTLS, True, "must", "verified"),
        (TlsPolicy.STARTTLS, False, "must", "not_offered"),
    ],
)
@on_both_loops
async def test_outcome_says_what_was_asked_and_what_came_of_it(
    authority, policy, offered, demand, result
):
    far_end = FarEnd(tls=authority.server("localhost") if offered else None)
    outcome = await attempt(authority, far_end, policy)
    assert (outcome.tls_demand, outcome.tls_result) == (demand, result)


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("greeting", ["421 4.3.2 not now", "554 5.3.2 no mail here"])
@on_both_loops
async def test_nothing_is_said_of_encryption_that_was_never_come_to(authority, greeting):
    far_end = FarEnd(Script(greeting=greeting), tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS)
    assert (outcome.tls_demand, outcome.tls_result) == ("must", "")


@pytest.mark.behaviour(34)
@on_both_loops
async def test_words_injected_before_the_encryption_are_refused(authority):
    injected = Raw(b"220 go\r\n250 far.example\r\n")
    for policy in (TlsPolicy.STARTTLS, TlsPolicy.OPPORTUNISTIC):
        far_end = FarEnd(Script(starttls=injected), tls=authority.server("localhost"))
        outcome = await attempt(authority, far_end, policy)
        # Seen before anything is encrypted, not where the encryption fails because of it.
        assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.7.0")
        assert "more in clear" in outcome.text
        assert far_end.ledger == []


@on_both_loops
async def test_server_without_tls_gets_nothing_where_it_is_required(authority):
    far_end = FarEnd()
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS)
    assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.7.4")
    assert far_end.commands[1:] == []
    far_end = FarEnd()
    outcome = await attempt(authority, far_end, TlsPolicy.IMPLICIT)
    assert outcome.verdict is Verdict.RETRY
    assert far_end.ledger == []


@pytest.mark.behaviour(34)
@on_both_loops
async def test_credentials_never_travel_unverified(authority, tmp_path):
    for policy, context in [
        (TlsPolicy.NONE, None),
        (TlsPolicy.OPPORTUNISTIC, None),
        (TlsPolicy.OPPORTUNISTIC, bad(authority, tmp_path, "self-signed")),
    ]:
        far_end = FarEnd(tls=context)
        outcome = await attempt(authority, far_end, policy, user="kunde")
        assert outcome.verdict is Verdict.RETRY
        assert not any(command.startswith("AUTH") for command in far_end.commands)
        assert far_end.ledger == []
        assert far_end.connections == 1


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("policy", [TlsPolicy.STARTTLS, TlsPolicy.OPPORTUNISTIC])
@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN"])
@on_both_loops
async def test_sign_in_by_plain_or_login(authority, policy, mechanisms, caplog):
    caplog.set_level(logging.DEBUG)
    far_end = FarEnd(Script(mechanisms=mechanisms), tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, policy, user="kunde")
    assert outcome.verdict is Verdict.DELIVERED
    assert outcome.tls_verified
    if mechanisms == "LOGIN":
        assert b64encode(b"kunde").decode() in far_end.commands
    else:
        blob = b64encode(f"\0kunde\0{SECRET}".encode()).decode()
        assert f"AUTH PLAIN {blob}" in far_end.commands
    assert b"AUTH" not in far_end.clear
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("auth", "mechanisms", "scope"),
    [
        ("535 5.7.8 wrong", "PLAIN", Scope.ROUTE),
        ("534 5.7.9 too weak", "LOGIN", Scope.ROUTE),
        ("454 4.7.0 later", "PLAIN", Scope.INFRASTRUCTURE),
        ("235 ok", "CRAM-MD5", Scope.ROUTE),
        ("235 ok", "", Scope.ROUTE),
    ],
)
@on_both_loops
async def test_failed_sign_in_keeps_the_mail(authority, auth, mechanisms, scope):
    script = Script(auth=auth, mechanisms=mechanisms)
    far_end = FarEnd(script, tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS, user="kunde")
    assert (outcome.verdict, outcome.scope) == (Verdict.RETRY, scope)


@on_both_loops
async def test_server_that_wants_the_blob_apart_gets_it(authority):
    script = Script(auth=["334 ", "235 2.7.0 welcome"])
    far_end = FarEnd(script, tls=authority.server("localhost"))
    blob = b64encode(f"\0kunde\0{SECRET}".encode()).decode()
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS, user="kunde")
    assert outcome.verdict is Verdict.DELIVERED
    assert blob in far_end.commands


@on_both_loops
async def test_address_that_never_answers_is_left(authority):
    # A full backlog: the listener accepts nobody, so the connection stays half open.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            target = Target(host="localhost", address="127.0.0.1", port=port, tls=TlsPolicy.NONE)
            with pytest.raises(SessionError) as caught:
                await Connection.open(
                    target, ehlo_name="m.example", contexts=make_contexts(), timeouts=QUICK
                )
    assert caught.value.outcome.enhanced in ("4.4.1", "4.4.2")


@on_both_loops
async def test_nul_in_credentials_is_refused_here(authority):
    far_end = FarEnd(tls=authority.server("localhost"))
    outcome = await attempt(authority, far_end, TlsPolicy.STARTTLS, user="kunde\0root")
    assert (outcome.verdict, outcome.scope) == (Verdict.RETRY, Scope.ROUTE)


@pytest.mark.behaviour(37)
def test_ehlo_name_cannot_end_the_line():
    target = Target(host="localhost", address="127.0.0.1", port=1, tls=TlsPolicy.NONE)
    for name in ("x\r\nMAIL FROM:<a@b>", "", "x y", "x\n"):
        with pytest.raises(ValueError, match="EHLO name"):
            asyncio.run(Connection.open(target, ehlo_name=name, contexts=make_contexts()))


def test_target_keeps_its_password_to_itself():
    target = Target(
        host="h", address="a", port=1, tls=TlsPolicy.NONE, username="u", password=SECRET
    )
    assert SECRET not in repr(target)


def test_features_are_read_in_every_spelling():
    lines = ("far.example", "size 1000", "Auth PLAIN", "AUTH=LOGIN", "SIZE x", "", "PIPELINING")
    features = parse_features(Reply(250, lines))
    assert features.pipelining
    assert features.size == 1000
    assert features.mechanisms == {"PLAIN", "LOGIN"}
    assert "FAR.EXAMPLE" not in features.keywords


@given(st.lists(st.text(max_size=60), max_size=20))
def test_features_of_any_text_can_be_read(lines):
    assert parse_features(Reply(250, tuple(lines))).size >= 0
