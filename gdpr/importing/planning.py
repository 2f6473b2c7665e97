# SPDX-License-Identifier: AGPL-3.0-or-later
"""What taking a package over does to each value: written, as it is, or kept beside; and why.

Written is what the person writes on their own pages, by the rules of those pages. All else is a
record of what was elsewhere: kept as it came, shown to nobody, and in the next package again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django import forms
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.forms import CompanyForm, ProfileForm
from accounts.models import Membership, Organisation, Role, User
from gdpr import inventory
from gdpr.extracts import plain
from gdpr.importing.reading import PERSON, Record
from gdpr.models import Import

ORGANISATION = "accounts.Organisation"
# Why a table's rows are kept beside and not written.
BECAUSE: dict[str, str | Promise] = {
    "accounts.Membership": _("an organisation lets people in itself, here as elsewhere"),
    "accounts.Consent": _("a consent is to who asked for it; here you say yes anew"),
    ORGANISATION: _("you own no organisation here with that name or number"),
    "relay.SendingDomain": _("whose a domain is, is proven here anew"),
    "gdpr.RequestedRight": _("a request is answered where it was made"),
    "gdpr.Correction": _("a request is answered where it was made"),
}
BESIDE = _("it tells of what was elsewhere")
REFUSED = _("this page would not take it")
OWN_DATES = _("this account has its own")


class Fate(Enum):
    """What becomes of a value or a record."""

    WRITTEN = "written"
    SAME = "same"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Line:
    """One value, or as many records of one table, as the page shows them."""

    title: str | Promise
    value: str
    fate: Fate
    because: str | Promise = ""


class Earlier:
    """Records, each found among however many in the same time."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._texts = set(map(self._text, records))

    def __contains__(self, record: Record) -> bool:
        return self._text(record) in self._texts

    @staticmethod
    def _text(record: Record) -> str:
        return json.dumps(record, sort_keys=True)


@dataclass(slots=True)
class Plan:
    """What is written to the person and to each organisation of theirs, and what is kept.

    `earlier` are the records of earlier imports: they are not kept twice.
    """

    earlier: Earlier = field(default_factory=lambda: Earlier([]))
    lines: list[Line] = field(default_factory=list)
    person: dict[str, Any] = field(default_factory=dict)
    organisations: dict[Organisation, dict[str, Any]] = field(default_factory=dict)
    kept: list[Record] = field(default_factory=list)

    @property
    def changes_nothing(self) -> bool:
        return not (self.person or self.kept or any(self.organisations.values()))

    def add_row(self, record: Record, row: Model, form: type[forms.Form]) -> dict[str, Any]:
        """Decide about each value of a record of a row that is here; return what is written."""
        given = {name: value for name, value in record["row"].items() if value not in (None, "")}
        written, refused = _written(row, given, form)
        there = {name for name in given if plain(getattr(row, name)) == given[name]}
        left = {name: given[name] for name in given.keys() - written.keys() - there}
        beside = {"table": record["table"], "row": left}
        is_new = bool(left) and beside not in self.earlier
        for name, value in given.items():
            title, shown = _words(record["table"], name), str(value)
            if name in written:
                self.lines.append(Line(title, shown, Fate.WRITTEN))
            elif name in there or not is_new:
                self.lines.append(Line(title, shown, Fate.SAME))
            else:
                because = REFUSED if name in refused else OWN_DATES
                self.lines.append(Line(title, shown, Fate.KEPT, because))
        self.kept += [beside] * is_new
        return written

    def add_records(self, table: str, records: list[Record]) -> None:
        """Keep records beside, but those that an earlier import has."""
        new = [record for record in records if record not in self.earlier]
        counts = {Fate.KEPT: len(new), Fate.SAME: len(records) - len(new)}
        title, because = inventory.entry(table).title, BECAUSE.get(table, BESIDE)
        self.lines += [
            Line(title, _records(count), fate, because if fate is Fate.KEPT else "")
            for fate, count in counts.items()
            if count
        ]
        self.kept += new


def plan(records: Iterable[Record], person: User) -> Plan:
    """Return what taking these records over does, as things stand now. Writes nothing."""
    made, beside = Plan(Earlier(_kept_of(person))), dict[str, list[Record]]()
    owned = _owned(person)
    for record in records:
        house = _house(record, owned)
        if record["table"] == PERSON and "email" in record["row"]:
            made.person |= made.add_row(record, person, ProfileForm)
        elif house is not None:
            made.organisations[house] = made.add_row(record, house, CompanyForm)
            # Another record that fits as well does not write over what this one says.
            owned.remove(house)
        else:
            beside.setdefault(record["table"], []).append(record)
    for table, of_it in beside.items():
        made.add_records(table, of_it)
    return made


def _kept_of(person: User) -> Iterator[Record]:
    """Yield the records that were kept of what the person brought along before."""
    for row in Import.objects.filter(person=person, taken_at__isnull=False):
        yield from row.records


def _owned(person: User) -> list[Organisation]:
    own = Membership.objects.filter(user=person, role=Role.OWNER, approved_at__isnull=False)
    return [membership.organisation for membership in own.select_related("organisation")]


def _house(record: Record, owned: list[Organisation]) -> Organisation | None:
    """Return the organisation here that a record is about, None when the person owns none such."""
    if record["table"] != ORGANISATION:
        return None
    row: Mapping[str, Any] = record["row"]
    return next((house for house in owned if _is_same(house, row)), None)


def _is_same(house: Organisation, row: Mapping[str, Any]) -> bool:
    if house.vat_number and row.get("vat_number"):
        return (house.country, house.vat_number) == (row.get("country"), row["vat_number"])
    return house.name == row.get("name")


def _written(
    row: Model, given: Mapping[str, Any], form: type[forms.Form]
) -> tuple[dict[str, Any], set[str]]:
    """Return what of a record its page takes, cleaned, and what it refuses."""
    now = {name: plain(getattr(row, name)) for name in form.base_fields}
    new = {name: value for name, value in given.items() if name in now and now[name] != value}
    filled = form({**now, **new})
    refused = set(filled.errors) & new.keys()
    return {name: filled.cleaned_data[name] for name in new.keys() - refused}, refused


def _records(count: int) -> str:
    return ngettext("%(count)d record", "%(count)d records", count) % {"count": count}


def _words(table: str, name: str) -> str | Promise:
    item = inventory.personal(table, name)
    return item.what if item else name


def lines_by_fate(made: Plan) -> Iterator[tuple[Fate, list[Line]]]:
    """Yield the lines of each fate that has some, the weightiest first."""
    for fate in Fate:
        if lines := [line for line in made.lines if line.fate is fate]:
            yield fate, lines
