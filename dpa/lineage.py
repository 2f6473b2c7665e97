# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happened to an agreement, as a chain: each event's digest covers the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256

from dpa.models import Agreement, AgreementEvent

SEPARATOR = "|"


def note(
    agreement: Agreement, act: AgreementEvent.Act, now: datetime, evidence: Iterable[str] = ()
) -> None:
    """Add an event. The caller holds the agreement's row locked, so that nothing comes between.

    `evidence` are words such as "document:<sha256>", without a value of a person.
    """
    last = agreement.events.order_by("-sequence").first()
    event = AgreementEvent(
        organisation_id=agreement.organisation_id,
        agreement=agreement,
        sequence=last.sequence + 1 if last else 1,
        at=now,
        act=act,
        evidence=[_checked(word) for word in evidence],
        previous_digest=bytes(last.digest) if last else b"",
    )
    event.digest = _digest(event)
    event.save(force_insert=True)


def document(content: bytes) -> str:
    """Return the evidence that these very bytes were made."""
    return f"document:{sha256(content).hexdigest()}"


def faults(agreement: Agreement) -> Iterator[str]:
    """Yield what is wrong with an agreement's events; nothing when all are as they were written."""
    expected, previous = 1, b""
    for event in sorted(agreement.events.all(), key=lambda event: event.sequence):
        if event.sequence != expected or bytes(event.previous_digest) != previous:
            yield f"event {event.sequence} does not follow the one before"
        if bytes(event.digest) != _digest(event):
            yield f"event {event.sequence} was altered"
        expected, previous = event.sequence + 1, bytes(event.digest)


def _digest(event: AgreementEvent) -> bytes:
    at = event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    rows = (str(event.organisation_id), str(event.agreement_id), str(event.sequence))
    names = (*rows, at, str(event.act), *event.evidence)
    return sha256(bytes(event.previous_digest) + SEPARATOR.join(names).encode()).digest()


def _checked(word: str) -> str:
    if SEPARATOR in word:
        raise ValueError("evidence is words, and none holds the separator")
    return word
