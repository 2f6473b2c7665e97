# SPDX-License-Identifier: AGPL-3.0-or-later
"""From an uploaded file to records that are what the published schema says, of this person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.addresses import normalised
from accounts.limits import HOUR, Limit, TooMany
from accounts.models import User
from accounts.refusals import Refused
from accounts.turns import place
from gdpr import bounded
from gdpr.importing import shapes, unpacking
from gdpr.importing.unpacking import Fault
from gdpr.rights import portability

LARGEST = 5 * 1024 * 1024
# The child's own bound is ten seconds of computing, which a busy machine may stretch.
PATIENCE_SECONDS = 30
AT_ONCE = 2
BUSY_SECONDS = 20
IMPORTS = Limit("imports", ((20, HOUR),))
READER = "gdpr.importing"
PERSON, BROUGHT = "accounts.User", "gdpr.Import"

Record: TypeAlias = dict[str, Any]


class NoPackage(Refused):
    text: Promise = _("This is not a portability package. Choose the ZIP file as you got it.")


class Damaged(Refused):
    text: Promise = _("The file is damaged, or was changed after it was made. Fetch it once more.")


class TooLarge(Refused):
    text: Promise = _(
        "The package has more in it than this page takes over. Write to us; we help you."
    )


class Newer(Refused):
    text: Promise = _("The package is from a newer version of Brevdue than this one.")


class AnotherPerson(Refused):
    text: Promise = _("The package is of somebody with another e-mail address than yours.")


class Busy(TooMany):
    text: Promise = _("Other packages are being read just now. Wait half a minute and try again.")

    def __init__(self) -> None:
        super().__init__(BUSY_SECONDS)


REFUSALS: dict[str, type[Refused]] = {
    Fault.DAMAGED: Damaged,
    Fault.ALTERED: Damaged,
    Fault.TOO_LARGE: TooLarge,
    Fault.NEWER: Newer,
}


@dataclass(frozen=True, slots=True)
class Brought:
    """What a package has: records as {"table", "row"}, and when it was made."""

    made_at: datetime
    records: tuple[Record, ...]


def read(package: bytes, person: User) -> Brought:
    """Return what a person's package has.

    Raises NoPackage, Damaged, TooLarge, Newer, AnotherPerson, Busy. Keeps nothing.
    """
    if len(package) > LARGEST:
        raise TooLarge
    found = _unpacked(package)
    # One record of an earlier import can hold as many as a whole package.
    flat = islice(_flat(found["records"]), unpacking.MOST_RECORDS + 1)
    made_at, records = _time(found["made_at"]), tuple(flat)
    if len(records) > unpacking.MOST_RECORDS:
        raise TooLarge
    if made_at is None or not all(map(_fits, records)):
        raise NoPackage
    if [normalised(row["email"]) for row in _people(records) if "email" in row] != [person.email]:
        raise AnotherPerson
    return Brought(made_at, records)


def _unpacked(package: bytes) -> dict[str, Any]:
    with place("import", AT_ONCE) as mine:
        if not mine:
            raise Busy
        try:
            answer = bounded.run(READER, package, patience=PATIENCE_SECONDS)
        except bounded.BoundedError:
            raise TooLarge from None
    found: dict[str, Any] = json.loads(answer)
    if "fault" in found:
        raise REFUSALS.get(found["fault"], NoPackage)
    return found


def _time(text: object) -> datetime | None:
    if not shapes.fits(text, {"type": "string", "format": "date-time"}):
        return None
    made_at = datetime.fromisoformat(str(text))
    return made_at if timezone.is_aware(made_at) else None


def _flat(records: list[Record]) -> Iterator[Record]:
    """Yield the records; those of an earlier import as what they were, so that none nests."""
    for record in records:
        inner = record["row"].get("records") if _is_brought(record) else None
        yield from _flat(inner) if inner is not None else (record,)


def _is_brought(record: Record) -> bool:
    return record["table"] == BROUGHT and _fits(record)


def _fits(record: Record) -> bool:
    shape = portability.row_shapes().get(record["table"])
    return shape is not None and shapes.fits(record["row"], shape)


def _people(records: tuple[Record, ...]) -> list[dict[str, Any]]:
    return [record["row"] for record in records if record["table"] == PERSON]
