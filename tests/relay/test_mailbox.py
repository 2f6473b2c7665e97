# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import mailbox, maildir
from relay.egress import Guard
from relay.maildir import Letter, Maildir
from relay.smtp.commands import encode_body
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import RouteTarget
from relay.transports.smarthost import Smarthost
from tests.testbed.certificates import Authority
from tests.testbed.loop import on_both_loops

CONTENT = b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\nslut \xff\r\n"
LETTER = Letter("hej@kunde.example", ("erik@modtager.example", "ea@modtager.example"), CONTENT)


def kept(directory: Path) -> list[tuple[dict[str, object], bytes]]:
    found = []
    for path in sorted((directory / "new").iterdir()):
        if path.suffix != ".json":
            envelope = json.loads(path.with_name(f"{path.name}.envelope.json").read_text())
            found.append((envelope, path.read_bytes()))
    return found


ENVELOPE = {
    "X-Envelope-From": "hej@kunde.example",
    "X-Envelope-To": ["erik@modtager.example", "ea@modtager.example"],
}


@asynccontextmanager
async def running(directory: Path, tls: ssl.SSLContext | None = None):
    """The mailbox's port; clients in threads may talk to it."""
    keeper = Maildir(directory)
    server = await mailbox.serve(keeper, "127.0.0.1", 0, tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
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

    async def nothing() -> None:
        pass

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
                b"Subject: %d\r\n\r\n.%d\r\n" % (number, number),
                nothing,
            )
            for number in range(100)
        ]
        outcomes = await asyncio.gather(*sends)
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
    monkeypatch.setattr(mailbox, "MAX_BUFFER", 100_000)
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
                await asyncio.wait_for(reader.read(), 5)
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


@on_both_loops
async def test_mail_is_synced_before_it_is_confirmed(tmp_path, monkeypatch):
    keeper, order = Maildir(tmp_path), []
    fsync = os.fsync

    def recorded(number: int) -> None:
        fsync(number)
        order.append("synced")

    monkeypatch.setattr(os, "fsync", recorded)
    await keeper.keep(LETTER)
    order.append("confirmed")
    assert order == ["synced", "confirmed"]
    assert kept(tmp_path) == [(ENVELOPE, CONTENT)]
    await keeper.finish()


@pytest.mark.parametrize(
    "ending",
    [b"", b'{"name": "x", "size": 100, "envelope": "{}"}\nshort', b'{"name": "x", "si'],
)
@on_both_loops
async def test_files_lost_in_a_power_cut_come_back_from_the_journal(tmp_path, ending):
    keeper = Maildir(tmp_path)
    for _ in range(3):
        await keeper.keep(LETTER)
    first, *_, last = sorted(path for path in (tmp_path / "new").iterdir())
    for path in (tmp_path / "new").iterdir():
        if path.suffix != ".json":
            path.write_bytes(b"")
    last.unlink()
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(b'{"name": "never-confirmed", "size": 100, "envelope": "{}"}\nshort')
    keeper._journal.close()
    again = Maildir(tmp_path)
    assert kept(tmp_path) == [(ENVELOPE, CONTENT)] * 3
    assert first.exists()
    await again.finish()
    assert not (tmp_path / "journal").exists()


@on_both_loops
async def test_journal_starts_over_when_it_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(maildir, "MAX_JOURNAL", 10)
    keeper = Maildir(tmp_path)
    await keeper.keep(LETTER)
    await keeper.keep(LETTER)
    assert (tmp_path / "journal").stat().st_size == 0
    await keeper.finish()
    assert len(kept(tmp_path)) == 2


@given(st.lists(st.sampled_from([b"\r\n", b".", b"x", b"\r\n.\r\n"])).map(b"".join))
def test_unstuffing_undoes_stuffing(content):
    body, _ = encode_body(content)
    assert mailbox.unstuff(body) == content.removesuffix(b"\r\n")


@contextmanager
def command(directory: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["mailbox", "--port", str(port), "--maildir", str(directory)]
    process = subprocess.Popen([sys.executable, "manage.py", *arguments])
    try:
        for _ in range(200):
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
