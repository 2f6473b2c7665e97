# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses that are in a log again although they were erased from it: after a restore. `duty`.

The ledger has digests alone, so each address of such an organisation's log is hashed and compared.
Mail accepted after the erasure is new: only what is older is back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Min

from accounts.models import Organisation
from gdpr import ledger
from gdpr.correspondents import run, steps, subject
from gdpr.correspondents.addresses import canonical
from gdpr.ledger import Erased
from gdpr.models import AddressErasure
from relay.models import Delivery, Message

# Addresses that are fetched at a time.
BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """An address that is there again, and the entry that says it was erased."""

    organisation_id: UUID
    address: str = field(repr=False)
    entry: Erased


def resurrected(today: date) -> Iterator[Back]:
    """Yield the addresses whose mail of before their erasure is in a log. Raises LinesAltered."""
    known = ledger.erased_addresses(today)
    there = Organisation.objects.filter(pk__in=known).values_list("pk", flat=True)
    for organisation_id in sorted(there):
        yield from _of(organisation_id, known[organisation_id])


def _of(organisation_id: UUID, entries: dict[bytes, Erased]) -> Iterator[Back]:
    seen: set[str] = set()
    until = max(entry.entered_at for entry in entries.values())
    for written, oldest_at in _addresses(organisation_id, until):
        address = canonical(written)
        entry = entries.get(ledger.address_digest(organisation_id, address))
        if entry and oldest_at <= entry.entered_at and address not in seen:
            seen.add(address)
            yield Back(organisation_id=organisation_id, address=address, entry=entry)


def _addresses(organisation_id: UUID, until: datetime) -> Iterator[tuple[str, datetime]]:
    """Yield each address of an organisation's log with its oldest mail: one pass over each table.

    The null reverse-path is nobody's, as is what was emptied.
    """
    for model, name in ((Delivery, "recipient"), (Message, "sender")):
        rows = model.objects.for_organisation(organisation_id).filter(accepted_at__lte=until)
        oldest = rows.exclude(**{name: ""}).values_list(name).annotate(Min("accepted_at"))
        yield from oldest.order_by().iterator(chunk_size=BATCH)


def running() -> set[UUID]:
    """Return the erasures that are under way: what is there is theirs, and nobody is back."""
    return set(AddressErasure.objects.filter(ended_at=None).values_list("pk", flat=True))


def back(today: date) -> list[Back]:
    """Return what is back and not being erased just now. Raises LinesAltered."""
    under_way = {
        (row.organisation_id, subject.address_of(row))
        for row in AddressErasure.objects.filter(ended_at=None)
    }
    found = resurrected(today)
    return [one for one in found if (one.organisation_id, one.address) not in under_way]


def erase_again(one: Back, now: datetime) -> bool:
    """Erase an address that is back; return whether that is done."""
    with transaction.atomic():
        erasure = _erasure_for(one, now)
    return run.carry_out(erasure.pk, now)


def _erasure_for(one: Back, now: datetime) -> AddressErasure:
    """Return the erasure as the backup has it, or one made anew where it has none to go on with.

    That one has the number of the first certificate, where no row of the backup has it.
    """
    running = AddressErasure.objects.for_organisation(one.organisation_id).filter(ended_at=None)
    for row in running.select_for_update():
        if subject.address_of(row) == one.address:
            row.due_at = now
            row.save(update_fields=["due_at"])
            return row
    is_known = AddressErasure.objects.filter(pk=one.entry.erasure_id).exists()
    erasure = AddressErasure(
        pk=uuid4() if is_known else one.entry.erasure_id,
        organisation_id=one.organisation_id,
        language="da",
        # Its mail was ended, and its senders told, the first time.
        waiting=AddressErasure.Waiting.CANCEL,
        is_repeat=True,
        asked_at=one.entry.entered_at,
        due_at=now,
        step=steps.LEDGER,
    )
    subject.seal(erasure, one.address)
    erasure.save(force_insert=True)
    return erasure
