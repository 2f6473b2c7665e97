# SPDX-License-Identifier: AGPL-3.0-or-later
"""TLS and AUTH: nothing secret in clear, every client's way of signing in, bounded guessing."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import smtplib
import ssl
import time

import pytest

from relay.smtpd import Certificate
from tests.relay.smtp.listening import HEADER, PASSWORD, PLAIN, USER, Raw, Tenant, running


def coded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.fixture
def strict(certificates):
    """A listener as in production: no signing in without TLS."""
    with running(tls=certificates.server, plaintext=False) as listening:
        yield listening


@pytest.fixture
def greeted(server):
    with Raw(server.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        yield raw


@pytest.mark.behaviour(8)
def test_nothing_but_starttls_works_in_clear(strict):
    with Raw(strict.port) as raw:
        raw.reply()
        assert b"AUTH" not in raw.say(b"EHLO x")
        assert raw.say(b"AUTH PLAIN " + PLAIN).startswith(b"538 5.7.11 ")
        assert raw.say(b"MAIL FROM:<anna@firma.example>").startswith(b"530 5.7.0 Say STARTTLS")
    assert strict.ledger.sign_ins == []


@pytest.mark.behaviour(8)
def test_nothing_of_a_sign_in_is_logged(server, greeted, caplog):
    """Neither as sent nor decoded: right, wrong, unreadable, and when the look-up fails."""
    wrong = coded("\0bo-the-builder\0open-sesame")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("mail.log").setLevel(logging.DEBUG)
        assert greeted.code(b"AUTH PLAIN " + wrong) == 535
        assert greeted.code(b"AUTH PLAIN " + wrong[:-3] + b"!") == 501
        assert greeted.code(b"AUTH LOGIN") == 334
        assert greeted.code(coded("bo-the-builder")) == 334
        assert greeted.code(coded("open-sesame")) == 535
        server.ledger.fails_at = "authenticate"
        assert greeted.code(b"AUTH PLAIN " + PLAIN) == 451
        server.ledger.fails_at = ""
        assert greeted.code(b"AUTH PLAIN " + PLAIN) == 235
    assert "RuntimeError" in caplog.text
    secrets = (wrong, wrong[:-4], coded("open-sesame"), PLAIN, coded(PASSWORD))
    for text in ("bo-the-builder", "open-sesame", PASSWORD, *(each.decode() for each in secrets)):
        assert text not in caplog.text


def old_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a client or server speak TLS 1.1, which today's libraries refuse by themselves."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The version that both agree on, in memory. Raises ssl.SSLError of who refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(4):
        for side in (asking, answering):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return answering.version() or ""


@pytest.mark.behaviour(9)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused_by_the_server_itself(authority, certificates, version):
    authority.server("localhost")
    newest = max(authority.ca_file.parent.glob("localhost-*.pem"), key=os.path.getmtime)
    server = old_tls(Certificate(newest, newest).context())
    client = old_tls(certificates.client)
    client.minimum_version, client.maximum_version = version, version
    with pytest.raises(ssl.SSLError) as refused:
        handshake(server, client)
    assert refused.value.reason == "UNSUPPORTED_PROTOCOL"
    # Nothing else stands in their way.
    server.minimum_version = ssl.TLSVersion.TLSv1
    assert handshake(server, client) == version.name.replace("_", ".")


def test_mail_needs_a_sign_in(greeted):
    assert greeted.say(b"MAIL FROM:<anna@firma.example>").startswith(b"530 5.7.0 Sign in")


def test_starttls_starts_over(strict, certificates):
    with Raw(strict.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        assert raw.code(b"STARTTLS") == 220
        raw.secure(certificates.client)
        assert raw.code(b"AUTH PLAIN " + PLAIN) == 503
        reply = raw.say(b"EHLO x")
        assert b"AUTH PLAIN LOGIN" in reply
        assert b"STARTTLS" not in reply
        assert raw.code(b"STARTTLS") == 503
        assert raw.code(b"AUTH PLAIN " + PLAIN) == 235


@pytest.mark.behaviour(9)
def test_commands_sent_before_the_handshake_are_discarded(strict, certificates):
    """CVE-2024-34083: octets behind STARTTLS in the same packet are an attacker's."""
    with Raw(strict.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        raw.send(b"STARTTLS\r\nEHLO attacker\r\nAUTH PLAIN " + PLAIN + b"\r\n")
        assert raw.reply().startswith(b"220 ")
        raw.secure(certificates.client)
        assert raw.code(b"NOOP") == 250
        assert raw.code(b"AUTH PLAIN " + PLAIN) == 503
    assert strict.ledger.sign_ins == []


@pytest.mark.behaviour(9)
def test_sign_in_in_clear_is_forgotten_with_the_handshake(certificates):
    """RFC 3207 §4.2: who it was is as little known as any octet said before."""
    with running(tls=certificates.server) as server, Raw(server.port) as raw:
        raw.sign_in()
        assert raw.code(b"STARTTLS") == 220
        raw.secure(certificates.client)
        raw.say(b"EHLO x")
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 530


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("implicit", [True, False])
def test_tls_versions_and_cipher_are_known(strict, certificates, version, implicit):
    context = certificates.client
    context.minimum_version = context.maximum_version = version
    if implicit:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL("localhost", strict.tls_port, context=context)
    else:
        smtp = smtplib.SMTP("localhost", strict.port)
        smtp.starttls(context=context)
    with smtp:
        smtp.login(USER, PASSWORD)
        smtp.sendmail("anna@firma.example", "erik@other.example", HEADER + b"\r\nhej")
    assert strict.ledger.clients[-1].tls_version == version.name.replace("_", ".")
    assert strict.ledger.clients[-1].tls_cipher
    assert len(strict.ledger.accepted) == 1


def test_failed_handshake_ends_the_connection(strict):
    for port in (strict.port, strict.tls_port):
        with Raw(port) as raw:
            if port == strict.port:
                raw.reply()
                raw.say(b"EHLO x")
                assert raw.code(b"STARTTLS") == 220
            raw.send(b"this is no handshake\r\n" * 20)
            while raw.reply():
                pass
    deadline = time.monotonic() + 30
    while strict.listener.conversations and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not strict.listener.conversations


def test_starttls_without_certificate_is_temporary():
    with running() as bare, Raw(bare.port) as raw:
        raw.reply()
        assert b"STARTTLS" not in raw.say(b"EHLO x")
        assert raw.say(b"STARTTLS").startswith(b"454 4.7.0 ")


@pytest.mark.parametrize("plain", [f"\0{USER}\0{PASSWORD}", f"{USER}\0{USER}\0{PASSWORD}"])
@pytest.mark.parametrize("verb", [b"AUTH PLAIN ", b"auth plain ", b"AUTH Plain "])
def test_plain_with_initial_response(greeted, verb, plain):
    assert greeted.code(verb + coded(plain)) == 235


def test_plain_after_a_challenge(greeted):
    assert greeted.say(b"AUTH PLAIN") == b"334 \r\n"
    assert greeted.code(PLAIN) == 235
    assert greeted.code(b"AUTH PLAIN " + PLAIN) == 503


@pytest.mark.parametrize("verb", [b"AUTH LOGIN", b"auth login"])
def test_login_in_two_steps(greeted, verb):
    assert greeted.say(verb) == b"334 VXNlcm5hbWU6\r\n"
    assert greeted.say(coded(USER)) == b"334 UGFzc3dvcmQ6\r\n"
    assert greeted.code(coded(PASSWORD)) == 235


def test_login_with_user_name_at_once(greeted):
    assert greeted.say(b"AUTH LOGIN " + coded(USER)) == b"334 UGFzc3dvcmQ6\r\n"
    assert greeted.code(coded(PASSWORD)) == 235


@pytest.mark.parametrize(
    ("lines", "start"),
    [
        ([b"AUTH PLAIN", b"*"], b"501 5.7.0 "),
        ([b"AUTH LOGIN", b"*"], b"501 5.7.0 "),
        ([b"AUTH LOGIN", coded(USER), b"*"], b"501 5.7.0 "),
        ([b"AUTH PLAIN !!!"], b"501 5.5.2 This is no valid base64"),
        ([b"AUTH PLAIN " + coded("no parts")], b"501 5.5.4 AUTH PLAIN takes three parts"),
        ([b"AUTH PLAIN", coded("a\0b\0c\0d")], b"501 5.5.4 AUTH PLAIN takes three parts"),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0\xff\0\xff")], b"501 5.5.4 User name and pass"),
        ([b"AUTH LOGIN", base64.b64encode(b"\xff")], b"501 5.5.4 User name and password"),
        ([b"AUTH PLAIN", b"\xff\xff"], b"501 5.5.2 This is no valid base64"),
        ([b"AUTH PLAIN", b"a" * 13_000], b"500 5.5.6 "),
        ([b"AUTH"], b"504 5.5.4 "),
        ([b"AUTH CRAM-MD5"], b"504 5.5.4 "),
        ([b"AUTH XOAUTH2 abc="], b"504 5.5.4 "),
        ([b"AUTH PLAIN ="], b"501 5.5.4 AUTH PLAIN takes three parts"),
        ([b"AUTH PLAIN " + coded(f"boss\0{USER}\0{PASSWORD}")], b"535 5.7.8 "),
        ([b"AUTH PLAIN " + coded(f"\0{USER}\0wrong")], b"535 5.7.8 "),
        ([b"AUTH PLAIN " + coded(f"\0nobody\0{PASSWORD}")], b"535 5.7.8 "),
    ],
)
def test_sign_in_is_refused(greeted, lines, start):
    for line in lines:
        reply = greeted.say(line)
    assert reply.startswith(start)
    assert greeted.code(b"AUTH PLAIN " + PLAIN) == 235


def test_unknown_user_and_wrong_password_get_the_same_words(greeted):
    wrong = greeted.say(b"AUTH PLAIN " + coded(f"\0{USER}\0wrong"))
    assert wrong == greeted.say(b"AUTH PLAIN " + coded("\0nobody\0wrong"))


@pytest.mark.behaviour(8)
def test_third_failure_ends_the_connection(server, greeted):
    wrong = b"AUTH PLAIN " + coded(f"\0{USER}\0wrong")
    assert [greeted.code(wrong) for _ in range(3)] == [535, 535, 421]
    assert greeted.reply() == b""
    assert len(server.ledger.sign_ins) == 3


def test_each_failure_takes_longer(greeted):
    spent = []
    for _ in range(2):
        began = time.monotonic()
        greeted.say(b"AUTH PLAIN " + coded(f"\0{USER}\0wrong"))
        spent.append(time.monotonic() - began)
    # The loop counts whole milliseconds.
    assert spent[0] >= 0.009
    assert spent[1] >= 0.019


def test_mail_by_network_begins_with_a_greeting_and_helo_is_one():
    with running() as listening, Raw(listening.port) as raw:
        listening.ledger.by_network = Tenant(USER)
        raw.reply()
        assert raw.say(b"MAIL FROM:<anna@firma.example>").startswith(b"503 5.5.1 ")
        assert raw.code(b"HELO x") == 250
        assert raw.code(b"AUTH PLAIN " + PLAIN) == 503
        raw.begin()
