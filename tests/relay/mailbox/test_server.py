# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.stack.state import free_port
from relay.egress import Guard
from relay.mailbox import server
from relay.mailbox.maildir import Maildir
from relay.smtp.commands import encode_body
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import RouteTarget
from relay.transports.smarthost import Smarthost
from tests.relay.mailbox.letters import CONTENT, ENVELOPE, LETTER, kept
from tests.relay.smtp.sending import decided
from tests.testbed.certificates import Authority
from tests.testbed.loop import on_both_loops


@asynccontextmanager
async def running(directory: Path, tls: ssl.SSLContext | None = None):
    """The mailbox's port; clients in threads may talk to it."""
    keeper = Maildir(directory)
    listening = await server.serve(keeper, "127.0.0.1", 0, tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await keeper.finish()


@pytest.mark.parametrize("secure", [False, True])
@on_both_loops
async def test_third_party_client_is_kept_byte_for_byte(tmp_path, secure):
    authority = Authority(tmp_path)
    context = authority.server("localhost") if secure else None

    def use(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=10) as client:
            if secure:
                client.starttls(context=ssl.create_default_context(cafile=authority.ca_file))
            client.login("anyone", "anything")
            client.sendmail(LETTER.sender, LETTER.recipients, CONTENT)
            client.sendmail("", ["erik@modtager.example"], b"Subject: y\r\n\r\n")

    async with running(tmp_path / "mail", context) as port:
        await asyncio.to_thread(use, port)
    first, second = kept(tmp_path / "mail")
    assert first == (ENVELOPE, CONTENT)
    assert second[0]["X-Envelope-From"] == ""


@on_both_loops
async def test_login_mechanism_is_taken(tmp_path):
    def use(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=10) as client:
            client.ehlo()
            client.user, client.password = "u", "p"
            assert client.auth("LOGIN", client.auth_login)[0] == 235
            assert client.auth("PLAIN", client.auth_plain, initial_response_ok=False)[0] == 235
            assert client.docmd("VRFY x")[0] == 502
            assert client.docmd("DATA")[0] == 503
            assert client.docmd("RCPT TO:<x@y>")[0] == 503
            assert client.docmd("STARTTLS")[0] == 502
            assert client.noop()[0] == 250
            assert client.rset()[0] == 250
            assert client.helo()[0] == 250
            assert client.mail("a@b.example")[0] == 250
            assert client.docmd("MAIL FROM:<a@b.example>")[0] == 503

    async with running(tmp_path) as port:
        await asyncio.to_thread(use, port)


@on_both_loops
async def test_own_client_delivers_many_at_once(tmp_path):
    authority = Authority(tmp_path)

    async def lookup(name: str) -> list[str]:
        return ["127.0.0.1"]

    async def nothing(taken: Sequence[int]) -> None:
        pass

    async def numbered(number: int) -> bytes:
        return b"Subject: %d\r\n\r\n.%d\r\n" % (number, number)

    async with running(tmp_path / "mail", authority.server("localhost")) as port:
        transport = Smarthost(
            ehlo_name="mail.brevdue.example",
            contexts=make_contexts(str(authority.ca_file)),
            guard=Guard(lookup=lookup, loopback_ports=frozenset({port})),
        )
        target = RouteTarget(
            route_id=uuid4(),
            host="localhost",
            port=port,
            tls=TlsPolicy.STARTTLS,
            username="kunde",
            password="x",
        )
        sends = [
            transport.send(
                target,
                Envelope("a@b.example", (Recipient(f"r{number}@x.example"),)),
                partial(numbered, number),
                nothing,
            )
            for number in range(100)
        ]
        outcomes = [decided(one) for one in await asyncio.gather(*sends)]
        await transport.close()
    assert {outcome.verdict for (outcome,) in outcomes} == {Verdict.DELIVERED}
    assert all(outcome.tls_verified for (outcome,) in outcomes)
    found = kept(tmp_path / "mail")
    assert {content for _, content in found} == {
        b"Subject: %d\r\n\r\n.%d\r\n" % (number, number) for number in range(100)
    }


@on_both_loops
async def test_commands_in_one_packet_and_single_bytes_come_out_the_same(tmp_path):
    body, terminator = encode_body(CONTENT)
    dialogue = (
        b"EHLO x\r\nMAIL FROM:<hej@kunde.example>\r\nRCPT TO:<erik@modtager.example>\r\n"
        b"RCPT TO:<ea@modtager.example>\r\nDATA\r\n" + body + terminator
    )
    async with running(tmp_path) as port:
        for size in (len(dialogue) * 2, 1, 3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for start in range(0, len(dialogue) * 2, size):
                writer.write((dialogue * 2)[start : start + size])
                await writer.drain()
            writer.write(b"QUIT\r\n")
            replies = await reader.read()
            writer.close()
            assert replies.count(b"250 2.0.0 kept") == 2
            assert replies.endswith(b"221 2.0.0 bye\r\n")
    assert kept(tmp_path) == [(ENVELOPE, CONTENT)] * 6


@on_both_loops
async def test_endless_input_and_failed_encryption_end_the_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "MAX_BUFFER", 100_000)
    async with running(tmp_path, Authority(tmp_path).server("localhost")) as port:
        for flood in (
            b"x" * 20_000,
            b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + b"x" * 200_000,
            b"STARTTLS",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if flood.startswith(b"STARTTLS"):
                await reader.readline()
                writer.write(b"STARTTLS\r\n")
                await reader.readline()
                flood = b"this is not TLS at all\r\n" * 10
            writer.write(flood)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 30)
            writer.close()


@on_both_loops
async def test_full_disk_is_told_to_the_client(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with running(tmp_path) as port:
        monkeypatch.setattr(os, "fsync", full)

        def use() -> None:
            with smtplib.SMTP("localhost", port, timeout=10) as client:
                with pytest.raises(smtplib.SMTPDataError) as refused:
                    client.sendmail("a@b.example", ["c@d.example"], CONTENT)
                assert refused.value.smtp_code == 451

        await asyncio.to_thread(use)
        monkeypatch.undo()
    assert kept(tmp_path) == []


@given(st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\r\n.\r\n"])).map(b"".join))
def test_unstuffing_undoes_stuffing(content):
    body, _ = encode_body(content)
    assert server.unstuff(body) == content.removesuffix(b"\r\n")


@contextmanager
def command(directory: Path):
    port = free_port()
    arguments = ["mailbox", "--port", str(port), "--maildir", str(directory)]
    process = subprocess.Popen([sys.executable, "manage.py", *arguments])
    try:
        for _ in range(900):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


def test_killed_mailbox_has_everything_it_confirmed(tmp_path):
    confirmed = 0
    with command(tmp_path) as (process, port), smtplib.SMTP("127.0.0.1", port) as client:
        for number in range(50):
            client.sendmail("a@b.example", ["c@d.example"], b"Subject: %d\r\n\r\n" % number)
            confirmed += 1
        process.kill()
        client.close()
    assert len(kept(tmp_path)) == confirmed
    assert (tmp_path / "journal").exists()
    with command(tmp_path) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert len(kept(tmp_path)) == confirmed
    assert not (tmp_path / "journal").exists()
