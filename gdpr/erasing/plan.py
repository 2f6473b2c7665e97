# SPDX-License-Identifier: AGPL-3.0-or-later
"""The dry run: what goes, what is made anonymous, what stays and why. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP

from accounts import emails, team
from accounts.models import Membership, Organisation, Role
from accounts.tenancy import organisation_context
from gdpr import holds, inventory, subjects
from gdpr.deadlines import day_of
from gdpr.holds import Ground, Hold, ground_of
from gdpr.inventory import ENTRIES, entries_about
from gdpr.registry import Entry, Eraser, Law, SubjectPath, Whose
from gdpr.scan import Rows
from gdpr.subjects import Subject

# Of the erasure itself: it names the person until its last step, and not after.
OWN = "gdpr.ErasureSubject"
# The last of these is written when all else is done.
MAIL = "accounts.OutgoingMail"
DELETING = frozenset({Eraser.ROW})
ANONYMISING = frozenset({Eraser.BLANK, Eraser.UNLINK})


@dataclass(frozen=True, slots=True)
class Line:
    """So many rows of a table."""

    model: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    deleted: tuple[Line, ...]
    anonymised: tuple[Line, ...]
    kept: tuple[Hold, ...]
    backups_until: date

    @property
    def is_partial(self) -> bool:
        return any(hold.is_lasting for hold in self.kept)

    def as_json(self) -> dict[str, Any]:
        return {
            "deleted": [[line.model, line.rows] for line in self.deleted],
            "anonymised": [[line.model, line.rows] for line in self.anonymised],
            "kept": [
                [hold.model, hold.rows, hold.ground.value, hold.law or "", _day(hold.until_on)]
                for hold in self.kept
            ],
            "backups_until": _day(self.backups_until),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        return cls(
            deleted=tuple(Line(*line) for line in values["deleted"]),
            anonymised=tuple(Line(*line) for line in values["anonymised"]),
            kept=tuple(_hold(*line) for line in values["kept"]),
            backups_until=date.fromisoformat(values["backups_until"]),
        )


def _hold(model: str, rows: int, ground: str, law: str, until: str) -> Hold:
    return Hold(
        model=model,
        rows=rows,
        ground=Ground(ground),
        law=Law(law) if law else None,
        until_on=_date(until),
    )


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def plan(subject: Subject, now: datetime) -> Plan:
    """Count what the erasure of a person would do now. Role `duty`."""
    return Plan(
        deleted=tuple(_lines(subject, DELETING)),
        anonymised=tuple(_lines(subject, ANONYMISING)),
        kept=tuple(_holds(subject)),
        backups_until=backups_until(now),
    )


def kept_keys(subject: Subject) -> dict[str, list[str]]:
    """Return the primary keys of the rows that stay, as text, by model. Role `duty`.

    Only before the account goes: an agreement then says no longer who signed it.
    """
    found = {}
    for entry in entries_about(Whose.PERSON):
        paths = [path for group in _grounds(entry).values() for path in group]
        if keys := subjects.rows_by(entry, subject, *paths).values_list("pk", flat=True):
            found[entry.model] = sorted(map(str, keys))
    return found


def held(subject: Subject) -> Iterator[tuple[Entry, Law, dict[Any, date | None]]]:
    """Yield the tables of which a law keeps rows: until when each of these, by primary key."""
    for entry in entries_about(Whose.PERSON):
        for ground, paths in _grounds(entry).items():
            if entry.held and ground.is_lasting:
                ends = holds.ends(entry.held, subjects.rows_by(entry, subject, *paths))
                yield entry, entry.held.law, ends


def grounds() -> Iterator[tuple[Entry, Ground]]:
    """Yield the tables of which rows can stay, with each reason."""
    for entry in entries_about(Whose.PERSON):
        for ground in _grounds(entry):
            yield entry, ground


def in_tables(keys: Mapping[str, Iterable[str]]) -> dict[str, Rows]:
    """Return rows, given by model and primary key, as the scan takes them."""
    metas = {model: apps.get_model(model)._meta for model in keys}
    return {
        meta.db_table: Rows(meta.pk.column, tuple(keys[model])) for model, meta in metas.items()
    }


def at_the_end(made: Plan, subject: Subject, letters: int, now: datetime) -> Plan:
    """Return the plan with what only the end of the erasure shows; `letters` go out after it.

    The last backup that has the person may be one from just before the last of them was deleted.
    """
    rows = subjects.rows(inventory.entry(MAIL), subject).count() + letters
    until_on = day_of(now + timedelta(hours=emails.KEPT_HOURS))
    mails = Hold(model=MAIL, rows=rows, ground=Ground.SHORT, until_on=until_on)
    others = tuple(hold for hold in made.kept if hold.model != MAIL)
    kept = (*others, mails) if rows else others
    return replace(made, kept=kept, backups_until=backups_until(now))


def backups_until(now: datetime) -> date:
    return day_of(now) + timedelta(days=settings.BACKUP_DAYS)


def erased_entries() -> list[Entry]:
    """Return the tables that an erasure changes, each before those that its rows lead through."""
    chosen = {
        entry.model: entry
        for entry in entries_about(Whose.PERSON)
        if any(path.eraser in (Eraser.ROW, Eraser.BLANK) for path in _paths(entry))
    }
    sorter = TopologicalSorter({label: set[str]() for label in chosen})
    for label, entry in chosen.items():
        for needed in _leads_through(entry) & chosen.keys() - {label}:
            sorter.add(needed, label)
    return [chosen[label] for label in sorter.static_order()]


def owned_alone(person_id: UUID) -> list[Organisation]:
    """Return the organisations that would be left without an owner: they block an erasure.

    One that is closing or closed needs no owner any more.
    """
    own = _ownerships(person_id).select_related("organisation")
    alive = own.exclude(organisation__standing__in=Organisation.ENDING)
    return [row.organisation for row in alive if not _has_another_owner(row)]


def owned_by(person_id: UUID) -> list[UUID]:
    """Return the ids of the organisations that the person can act as owner of, in their order."""
    rows = _ownerships(person_id).order_by("organisation_id")
    return list(rows.values_list("organisation_id", flat=True))


def _ownerships(person_id: UUID) -> QuerySet[Membership]:
    return Membership.objects.filter(user_id=person_id, role=Role.OWNER, approved_at__isnull=False)


def _has_another_owner(row: Membership) -> bool:
    # In the portal an organisation's other people are seen in its own context alone.
    with organisation_context(row.organisation_id, person_id=row.user_id):
        return team.owners(row.organisation_id).exclude(user_id=row.user_id).exists()


def _paths(entry: Entry) -> tuple[SubjectPath, ...]:
    return entry.for_subject(Whose.PERSON)


def _lines(subject: Subject, erasers: frozenset[Eraser]) -> Iterator[Line]:
    for entry in entries_about(Whose.PERSON):
        paths = [path for path in _paths(entry) if path.eraser in erasers]
        if count := subjects.rows_by(entry, subject, *paths).count():
            yield Line(entry.model, count)


def _holds(subject: Subject) -> Iterator[Hold]:
    for entry in entries_about(Whose.PERSON):
        for ground, paths in _grounds(entry).items():
            # A row that names the person twice is kept once.
            yield from holds.of(entry, ground, subjects.rows_by(entry, subject, *paths))


def _grounds(entry: Entry) -> dict[Ground, list[SubjectPath]]:
    found: dict[Ground, list[SubjectPath]] = {}
    for path in _paths(entry) if entry.model != OWN else ():
        ground = ground_of(entry, path.eraser) if path.eraser else None
        if ground is not None:
            found.setdefault(ground, []).append(path)
    return found


def _leads_through(entry: Entry) -> set[str]:
    """Return the tables whose rows must still be there when this one's are looked for."""
    model = subjects.model_of(entry)
    named = {path.through.model for path in _paths(entry) if path.through}
    for path in _paths(entry):
        looked_in = apps.get_model(path.through.model) if path.through else model
        named.update(_hops(looked_in, path.lookup))
    for field in model._meta.get_fields():
        related = field.related_model
        if field.concrete and isinstance(related, type):
            named.add(related._meta.label)
    return named & {known.model for known in ENTRIES}


def _hops(model: type[Model], lookup: str) -> Iterator[str]:
    """Yield the tables that a lookup goes through, up to the one that it compares."""
    for name in lookup.split(LOOKUP_SEP):
        names = {field.name: field for field in model._meta.get_fields()}
        related = names[name].related_model if name in names else None
        if not isinstance(related, type):
            return
        yield related._meta.label
        model = related
