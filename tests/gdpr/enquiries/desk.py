# SPDX-License-Identifier: AGPL-3.0-or-later
"""Somebody at the public form, and the worker behind it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client

from accounts import vault
from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation, OutgoingMail
from gdpr.enquiries import passing, watch
from gdpr.models import ForwardedRequest
from relay.models import Delivery, Message, SendingDomain
from tests import build
from tests.accounts.visiting import at

ERIK = "erik@modtager.example"
LINK = re.compile(r"/privacy/request/([\w-]+)/")
EVERYONE = {"whom": "everyone", "agreed": "on"}


def fields(**changed: Any) -> dict[str, Any]:
    """What Erik writes: he wants to see what Duehuset has of him."""
    given = {"address": ERIK, "rights": ["access"], "whom": "sender", "sender": "due.example"}
    return given | changed


def ask(network: str = "192.0.2.7", **changed: Any) -> Any:
    return Client(REMOTE_ADDR=network).post(at("gdpr:enquiry"), fields(**changed))


def ask_by(token: str, **changed: Any) -> Any:
    """What the owner of a link asks there, and the page that they come to."""
    return Client().post(at("gdpr:enquiry-own", token), fields(**changed), follow=True)


def work(now: datetime) -> None:
    with build.as_role("duty"):
        passing.run(now)
        watch.watch(now)


def mails(kind: str = "") -> list[dict[str, str]]:
    """What waits to be sent, the oldest first."""
    with build.as_owner():
        rows = OutgoingMail.objects.filter(kind__contains=kind).order_by("created_at")
        return [
            json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) | {"kind": row.kind}
            for row in rows
        ]


def bare(text: str) -> str:
    """A letter without what is of one request: its number and its link."""
    return re.sub(r"\b[0-9a-f]{8}\b|request/[\w-]+", "#", text)


def tokens(address: str = ERIK) -> list[str]:
    """The links that were mailed to an address."""
    letters = [mail for mail in mails("enquiry_proof") if mail["to"].lower() == address.lower()]
    found = [LINK.search(letter["text"]) for letter in letters]
    return [match[1] for match in found if match]


def prove(token: str) -> Any:
    return Client().post(at("gdpr:enquiry-confirm", token))


def forwarded() -> list[ForwardedRequest]:
    with build.as_owner():
        return list(ForwardedRequest.objects.order_by("forwarded_at", "id"))


def owns(organisation: Organisation, domain: str) -> None:
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=organisation,
            name=domain,
            token="x",
            state=SendingDomain.State.VERIFIED,
            created_at=build.NOW,
        )


def has_mailed(organisation: Organisation, recipient: str, sender: str = "a@due.example") -> None:
    message = uuid7(datetime.now(UTC) - timedelta(minutes=1))
    of = {"organisation": organisation, "accepted_at": uuid7_time(message)}
    with build.as_owner():
        Message.objects.create(**of, id=message, sender=sender, size=1, recipients=1)
        Delivery.objects.create(**of, message_id=message, position=0, recipient=recipient)
