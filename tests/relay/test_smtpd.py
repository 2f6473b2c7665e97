# SPDX-License-Identifier: AGPL-3.0-or-later
"""The process: it starts only on safe ground, serves both ports, renews, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import smtplib
import socket
import time

import pytest

from relay import smtpd
from tests.relay import mail
from tests.relay.process import Process, login, running
from tests.relay.smtp.balancing import proxied
from tests.relay.submitting import SECRET, credential, domain
from tests.testbed.certificates import Authority

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = b"From: anna@firma.example\r\nTo: erik@other.example\r\n\r\nhej\r\n"


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def anna_sends() -> None:
    house = mail.organisation()
    domain(house, "firma.example")
    credential(house)


def deliver(process: Process, *, implicit: bool = False) -> None:
    if implicit:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            "localhost", process.tls_port, context=process.trusted
        )
    else:
        smtp = smtplib.SMTP("localhost", process.port)
        smtp.starttls(context=process.trusted)
    with smtp:
        smtp.login("anna", SECRET)
        smtp.sendmail("anna@firma.example", ["erik@other.example"], MESSAGE)


def test_both_ports_store_mail_and_nothing_is_logged(authority, tmp_path, anna_sends):
    with running(Process(authority, tmp_path, LOG_LEVEL="DEBUG")) as process:
        deliver(process)
        deliver(process, implicit=True)
        rows = mail.rows("SELECT tls_version, recipients FROM relay_message")
        assert rows == [("TLSv1.3", 1)] * 2
        code, logged = process.end()
    assert code == 0
    assert "@" not in logged
    assert "Traceback" not in logged


def test_address_behind_a_balancer_is_the_clients(authority, tmp_path, anna_sends):
    extra = {"SMTP_BALANCERS": "127.0.0.0/8,::1", "SMTP_CONNECTIONS_PER_ADDRESS": "1"}
    with running(Process(authority, tmp_path, **extra)) as process, contextlib.ExitStack() as stack:
        greetings, clients = [], []
        for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7"):
            raw = socket.create_connection(("127.0.0.1", process.port), timeout=10)
            clients.append(stack.enter_context(raw))
            raw.sendall(proxied(address))
            greetings.append(raw.recv(100)[:4])
        assert greetings == [b"220 "] * 3
        assert clients[0].recv(100)[:4] == b"421 "
        clients[1].sendall(b"NOOP\r\n")
        assert clients[1].recv(100)[:4] == b"250 "
        _, logged = process.end()
    assert "203.0.113" not in logged


def test_process_watches_beat_and_tomorrow():
    async def watches() -> set[str]:
        async with smtpd._policy():
            return {task.get_name() for task in asyncio.all_tasks()}

    assert {"heartbeat", "tomorrow"} <= mail.run(watches())


@pytest.mark.behaviour(9)
def test_renewed_certificate_is_used_after_sighup(authority, tmp_path, anna_sends):
    with running(Process(authority, tmp_path)) as process:
        first = process.serial()
        process.pem.write_text("broken")
        process.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.serial() == first
        process.renew()
        process.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while process.serial() == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.serial() != first
        deliver(process)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def test_message_after_354_survives_sigterm(authority, tmp_path, anna_sends):
    with running(Process(authority, tmp_path)) as process:
        smtp = smtplib.SMTP("localhost", process.port)
        smtp.starttls(context=process.trusted)
        smtp.login("anna", SECRET)
        smtp.mail("anna@firma.example")
        smtp.rcpt("erik@other.example")
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(b"From: anna@firma.example\r\n")
        process.process.terminate()
        while is_open(process.port):
            time.sleep(0.05)
        smtp.send(b"\r\nhej\r\n.\r\n")
        assert smtp.getreply()[0] == 250
        assert smtp.getreply()[0] == 421
        smtp.close()
        assert process.process.wait(10) == 0
    assert mail.value("SELECT count(*) FROM relay_message") == 1


def test_two_processes_share_the_ports(authority, tmp_path, anna_sends):
    first = Process(authority, tmp_path)
    second = Process(authority, tmp_path, SMTP_PORT=str(first.port), SMTPS_PORT=str(first.tls_port))
    with running(first), running(second):
        for _ in range(6):
            deliver(first)
    assert mail.value("SELECT count(*) FROM relay_message") == 6


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SMTP_TLS_CERT": ""}, "SMTP_TLS_CERT and SMTP_TLS_KEY must name"),
        ({"RELAY_DATABASE_URL": "owner"}, "owns tables"),
        ({"RELAY_DATABASE_URL": "backup"}, "BYPASSRLS"),
        (
            {"PGOPTIONS": "-c synchronous_commit=off"},
            "must be on, or a commit can be lost: synchronous_commit",
        ),
        ({"SMTP_HOST": "192.0.2.1"}, "a port or a file cannot be opened"),
        ({"SMTP_MEMORY": "1000"}, "SMTP_MEMORY at least"),
        ({"SMTP_CONNECTIONS": "0"}, "must be 1 or more"),
    ],
    ids=["no certificate", "owner", "bypass", "no commit", "no address", "no room", "no place"],
)
def test_unsafe_ground_is_refused(authority, tmp_path, environment, words):
    role = environment.get("RELAY_DATABASE_URL")
    if role in ("owner", "backup"):
        environment = {"RELAY_DATABASE_URL": login(role)}
    process = Process(authority, tmp_path, **environment)
    process.start()
    _, errors = process.process.communicate(timeout=90)
    assert process.process.returncode == 1
    assert re.search(words, errors)
    assert "Traceback" not in errors
