# SPDX-License-Identifier: AGPL-3.0-or-later
"""Programs that people send with: each signs in over both kinds of TLS, and every byte arrives."""

from __future__ import annotations

import json
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from tests.relay import mail
from tests.relay.smtp.listening import Running
from tests.relay.submitting import SECRET, Journal, credential, domain, serving
from tests.testbed.certificates import Authority

pytestmark = pytest.mark.django_db(transaction=True)

SENDER, RECIPIENTS = "anna@firma.example", ["erik@other.example", "ida@other.example"]
HERE = Path(__file__).parent
MESSAGE = (
    "From: =?utf-8?q?Anna_S=C3=B8rensen?= <anna@firma.example>\r\n"
    "To: erik@other.example,\r\n\tida@other.example\r\n"
    "Subject: =?utf-8?q?Bl=C3=A5b=C3=A6rgr=C3=B8d?=\r\n"
    "Date: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    "Message-ID: <1@firma.example>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "\r\n"
    ".one dot\r\n..two dots\r\n.\r\n..\r\nFrom the start of a line\r\n"
    "blåbær, trailing space \r\n\ttab\r\n" + "long " * 180 + "\r\n"
    "\r\n\r\nend\r\n"
).encode()


@dataclass(frozen=True)
class Target:
    """Where and as whom to submit."""

    server: Running
    journal: Journal
    ca_file: Path
    implicit: bool

    @property
    def port(self) -> int:
        return self.server.tls_port if self.implicit else self.server.port


@pytest.fixture(params=[False, True], ids=["STARTTLS", "implicit TLS"])
def target(request, tmp_path) -> Iterator[Target]:
    house = mail.organisation()
    domain(house, "firma.example")
    credential(house)
    authority, journal = Authority(tmp_path), Journal()
    with serving(journal, tls=authority.server("localhost")) as server:
        yield Target(server, journal, authority.ca_file, request.param)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"not run: {name} is not installed")
    return found


def run(*command: str, message: bytes = MESSAGE) -> None:
    done = subprocess.run(command, input=message, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def with_swaks(target: Target) -> None:
    support = subprocess.run([program("swaks"), "--support"], capture_output=True, text=True)
    if "TLS not available" in support.stdout + support.stderr:
        pytest.skip("not run: swaks has no TLS (libnet-ssleay-perl is not installed)")
    tls = ["--tls-on-connect"] if target.implicit else ["--tls"]
    run(
        program("swaks"), "--server", "localhost", "--port", str(target.port), *tls,
        "--tls-verify", "--tls-ca-path", str(target.ca_file),
        "--auth", "LOGIN", "--auth-user", "anna", "--auth-password", SECRET,
        "--from", SENDER, "--to", ",".join(RECIPIENTS), "--data", "-",
        message=MESSAGE.removesuffix(b"\r\n"),  # swaks ends the last line itself
    )  # fmt: skip


def with_curl(target: Target) -> None:
    scheme = "smtps" if target.implicit else "smtp"
    recipients = [part for address in RECIPIENTS for part in ("--mail-rcpt", address)]
    run(
        program("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(target.ca_file),
        f"{scheme}://localhost:{target.port}/client.example", "--user", f"anna:{SECRET}",
        "--mail-from", SENDER, *recipients, "--upload-file", "-",
    )  # fmt: skip


def with_msmtp(target: Target) -> None:
    run(
        program("msmtp"), "--host=localhost", f"--port={target.port}", "--tls=on",
        f"--tls-starttls={'off' if target.implicit else 'on'}",
        f"--tls-trust-file={target.ca_file}", "--auth=plain", "--user=anna",
        f"--passwordeval=echo {SECRET}", f"--from={SENDER}", "--", *RECIPIENTS,
    )  # fmt: skip


def with_nodemailer(target: Target) -> None:
    if not (HERE / "node_modules" / "nodemailer").is_dir():
        pytest.skip("not run: nodemailer is not installed (npm ci in tests/journeys)")
    options = {
        "port": target.port, "implicit": target.implicit, "ca_file": str(target.ca_file),
        "username": "anna", "password": SECRET, "sender": SENDER, "recipients": RECIPIENTS,
    }  # fmt: skip
    run(program("node"), str(HERE / "submit.js"), json.dumps(options))


def with_smtplib(target: Target) -> None:
    context = ssl.create_default_context(cafile=str(target.ca_file))
    if target.implicit:
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", target.port, context=context)
    else:
        client = smtplib.SMTP("localhost", target.port)
        client.starttls(context=context)
    with client:
        client.login("anna", SECRET)
        assert client.sendmail(SENDER, RECIPIENTS, MESSAGE, ["BODY=8BITMIME"]) == {}


CLIENTS: dict[str, Callable[[Target], None]] = {
    "swaks": with_swaks,
    "curl": with_curl,
    "msmtp": with_msmtp,
    "nodemailer": with_nodemailer,
    "smtplib": with_smtplib,
}


def arrived(target: Target) -> bytes:
    """The one message that was stored, without the trace in front."""
    (accepted,) = target.journal.messages
    assert accepted.envelope.sender == SENDER
    assert [recipient.address for recipient in accepted.envelope.recipients] == RECIPIENTS
    assert accepted.tls_version in ("TLSv1.2", "TLSv1.3")
    received, stamp, rest = accepted.content.split(b"\r\n", 2)
    assert received.startswith(b"Received: by relay.example with ESMTPSA ")
    assert stamp.startswith(f"\tid {accepted.id}; ".encode())
    return rest


@pytest.mark.parametrize("name", CLIENTS)
def test_client_delivers_byte_for_byte(target, name):
    CLIENTS[name](target)
    assert arrived(target) == MESSAGE


def test_django_delivers_what_it_built(target, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(target.ca_file))
    backend = EmailBackend(
        host="localhost", port=target.port, username="anna", password=SECRET,
        use_tls=not target.implicit, use_ssl=target.implicit, timeout=10,
    )  # fmt: skip
    message = EmailMessage("Blåbærgrød", ".dot\nbær\n", SENDER, RECIPIENTS)
    built = message.message()
    monkeypatch.setattr(message, "message", lambda: built)
    assert backend.send_messages([message]) == 1
    assert arrived(target) == built.as_bytes().replace(b"\n", b"\r\n")
