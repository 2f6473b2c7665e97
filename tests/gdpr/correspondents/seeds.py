# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail in an organisation's log and queue, with everything that can be logged of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation
from gdpr.correspondents import run, steps, subject
from gdpr.models import AddressErasure
from relay.models import (
    Attempt,
    Content,
    Delivery,
    Ending,
    Message,
    MessageHeader,
    QueuedDelivery,
    Report,
    Suppression,
)
from relay.suppressing import fingerprint
from tests import build

FIRM = "faktura@duehuset.example"


def mail(
    house: Organisation,
    at: datetime,
    *to: str,
    sender: str = FIRM,
    waits: bool = False,
    **more: Any,
) -> UUID:
    """A mail with a row in every table of the log, for each of its recipients."""
    number = uuid7(at)
    of: dict[str, Any] = {"organisation": house, "accepted_at": uuid7_time(number)}
    header = more.get("header", f"From: {sender}\nTo: {', '.join(to)}\nSubject: Faktura\n")
    with build.as_owner():
        Message.objects.create(
            **of, id=number, sender=sender, subject=more.get("subject", "Faktura"), size=1,
            recipients=len(to),
        )  # fmt: skip
        MessageHeader.objects.create(**of, message_id=number, header=header)
        for position, recipient in enumerate(to):
            _to(of | {"message_id": number, "position": position}, recipient, waits=waits)
        if waits:
            _waiting(of | {"message_id": number}, sender, to)
    return number


def _to(of: dict[str, Any], recipient: str, *, waits: bool) -> None:
    at = of["accepted_at"]
    state = Delivery.State.WAITING if waits else Delivery.State.EXPIRED
    name = recipient.partition("@")[0].title()
    Delivery.objects.create(**of, recipient=recipient, display_name=name, state=state)
    Attempt.objects.create(
        **of, number=1, started_at=at, finished_at=at, verdict=Attempt.Verdict.RETRY
    )
    if not waits:
        Ending.objects.create(**of, state=Delivery.State.EXPIRED)
        Report.objects.create(
            **of, number=1, received_at=at, source=Report.Source.BOUNCE, kind=Report.Kind.FAILED
        )


def _waiting(of: dict[str, Any], sender: str, to: tuple[str, ...]) -> None:
    Content.objects.create(
        **of, sender=sender, hour_key_id="x", wrapped_key=b"x", ciphertext=b"x",
        open_deliveries=len(to),
    )  # fmt: skip
    later = of["accepted_at"] + timedelta(hours=72)
    for position, recipient in enumerate(to):
        QueuedDelivery.objects.create(
            **of, position=position, recipient=recipient, due_at=later, expires_at=later
        )


def suppressed(house: Organisation, address: str, at: datetime) -> Suppression:
    with build.as_owner():
        return Suppression.objects.create(
            organisation=house,
            address_hash=fingerprint(house.id, address),
            address=address,
            address_until=at + timedelta(days=30),
            reason=Suppression.Reason.HARD_BOUNCE,
            created_at=at,
        )


def asked(
    house: Organisation,
    address: str,
    at: datetime,
    waiting: AddressErasure.Waiting = AddressErasure.Waiting.CANCEL,
) -> AddressErasure:
    """An erasure as a page orders it."""
    erasure = AddressErasure(
        organisation=house, language="da", waiting=waiting, asked_at=at, due_at=at,
        step=steps.LEDGER,
    )  # fmt: skip
    with build.as_owner():
        subject.seal(erasure, address)
        erasure.save()
    return erasure


def erased(house: Organisation, address: str, at: datetime) -> AddressErasure:
    """An erasure that is carried out."""
    erasure = asked(house, address, at)
    assert run.carry_out(erasure.pk, at)
    erasure.refresh_from_db()
    return erasure


def log_of(house: Organisation) -> dict[str, list[dict[str, Any]]]:
    """Every row of an organisation's log, to compare."""
    models = (Message, Delivery, Attempt, Report, Ending, MessageHeader)
    with build.as_owner():
        return {model._meta.label: _rows(model, house) for model in models}


def _rows(model: Any, house: Organisation) -> list[dict[str, Any]]:
    return list(model.objects.for_organisation(house.id).order_by("pk").values())
