# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demo's steps with mail. Each raises StepFailed with what it saw instead."""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from uuid import UUID

from config.demo.steps import PATIENCE, Journey, StepFailed, wait
from relay.models import Content, Delivery, Message

RECIPIENT = "erik@modtager.example"
# What a server on the way may put before a message (RFC 5321, section 4.4).
TRACE_HEADERS = (b"received:", b"return-path:", b"delivered-to:")


def submit(journey: Journey) -> None:
    """Hand a message in as a customer's application does: STARTTLS, AUTH, DATA."""
    smtp = journey.facts["smtp"]
    journey.sent = _message(smtp["sender"])
    trust = ssl.create_default_context(cafile=journey.root / smtp["ca_file"])
    with smtplib.SMTP(smtp["host"], smtp["port"], timeout=PATIENCE) as client:
        client.starttls(context=trust)
        client.login(smtp["username"], smtp["password"])
        _demand_accepted(*client.mail(smtp["sender"]))
        _demand_accepted(*client.rcpt(RECIPIENT))
        code, answer = client.data(journey.sent)
    journey.message_id = _id_in(code, answer)


def _message(sender: str) -> bytes:
    token = time.time_ns()
    # Lines that careless relays change: a leading dot, trailing blanks, a line of 998 octets.
    lines = [
        f"From: Brevdue <{sender}>",
        f"To: <{RECIPIENT}>",
        "Subject: =?utf-8?q?En_due_til_Erik?=",
        f"Date: {formatdate()}",
        f"Message-ID: <{token}@{sender.partition('@')[2]}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "Kom godt frem.",
        ".",
        "..to dots",
        "trailing blanks  \t",
        "x" * 998,
        "",
    ]
    return "\r\n".join(lines).encode()


def _id_in(code: int, answer: bytes) -> UUID:
    _demand_accepted(code, answer)
    found = re.search(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer)
    if not found:
        raise StepFailed(f"there is no queue id in {answer.decode(errors='replace')}")
    return UUID(found[0].decode())


def _demand_accepted(code: int, answer: bytes) -> None:
    """Raises StepFailed with the refusal: smtplib returns one and goes on."""
    if code != 250:
        raise StepFailed(f"the server answered {code} {answer.decode(errors='replace')}")


def arrive(journey: Journey) -> None:
    """The mailbox holds the very bytes, with nothing but trace headers in front."""
    maildir = journey.root / journey.facts["mailbox"]["maildir"]
    found = wait(lambda: _find(maildir, journey.sent))
    if found is None:
        raise StepFailed(f"no such message in {journey.facts['mailbox']['maildir']}/new")
    added = found.removesuffix(journey.sent)
    if not all(_is_trace(line) for line in added.splitlines()):
        raise StepFailed("something else than trace headers was put in front of the message")


def _find(maildir: Path, sent: bytes) -> bytes | None:
    for path in maildir.glob("new/*"):
        if path.suffix != ".json" and (content := path.read_bytes()).endswith(sent):
            return content
    return None


def _is_trace(line: bytes) -> bool:
    return line.lower().startswith(TRACE_HEADERS) or line[:1] in (b" ", b"\t")


def forget(journey: Journey) -> None:
    """The log says delivered and destroyed, and no row of content is left."""
    if not wait(lambda: _is_final(journey)):
        raise StepFailed("the log does not say that the message was delivered and destroyed")
    if Content.objects.filter(message_id=journey.message_id).exists():
        raise StepFailed("the content is still in the database")


def _is_final(journey: Journey) -> bool:
    message = Message.objects.filter(id=journey.message_id).first()
    deliveries = Delivery.objects.filter(message_id=journey.message_id)
    states = set(deliveries.values_list("state", flat=True))
    destroyed = message is not None and message.content_destroyed_at is not None
    return destroyed and states == {Delivery.State.DELIVERED}
