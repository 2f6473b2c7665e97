# SPDX-License-Identifier: AGPL-3.0-or-later
"""The inventory is whole: every field of every model classified, once, with all it needs."""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import global_settings, settings
from django.core.checks import Error, register
from django.core.exceptions import FieldDoesNotExist
from django.db.models import EmailField, Model, UUIDField
from django.db.models.constants import LOOKUP_SEP

from gdpr import recipients
from gdpr.inventory import ENTRIES, STORES
from gdpr.registry import (
    Entry,
    Eraser,
    Forgetting,
    Keep,
    Law,
    LegalBasis,
    Purpose,
    Store,
    SubjectPath,
    Whose,
)

HINTS = {
    "E001": "Add an entry to gdpr/inventory/<app>.py.",
    "E002": "Remove the entry, or install the app.",
    "E003": "Leave one entry for each model.",
    "E004": "Classify it in gdpr/inventory/<app>.py: Personal, or NotPersonal with a reason.",
    "E005": "Remove the name from the entry.",
    "E006": "Name each field once.",
    "E007": "Say why the data are kept, on what basis, from where and in which role.",
    "E008": "Give a SubjectPath: how a row is found for a person.",
    "E009": "Say what erasing the subject does to the row.",
    "E010": "Say how long: an event, or a period with the field that it counts from.",
    "E011": "A name must resolve: module:name, app.Model, or a field of the model.",
    "E012": "Say what the interest is and why it outweighs the person's (GDPR article 6(1)(f)).",
    "E013": "Say how long a store keeps its data and how a subject's leave it.",
    "E014": "Give the field a SubjectPath, or name a foreign key in not_leading.",
    "E015": "Give the path's other half: the same with the opposite condition, or none.",
    "E016": "Give a SubjectPath through the other table: joined rows lead to the same people.",
    "E017": "Give a SubjectPath for that kind of row, as for the other kinds that it may name.",
    "E018": "Add a Store to gdpr/inventory/stores.py that says where, by the setting's name.",
    "E019": "Say by which law rows outlive their subject's erasure, and from when it counts: Held.",
}
# What leaves a row where it is for a time.
LEAVING = frozenset({Eraser.HOLD, Eraser.ORGANISATION})
# Settings with a path at which the service keeps no data.
NO_STORES = {
    "RELAY_CA_FILE": "only read",
    "SEAL_PKCS12": "only read",
    "SEAL_TRUST": "only read",
    "SMTP_TLS_CERT": "only read",
    "SMTP_TLS_KEY": "only read",
    "TEST_CLOCK_FILE": "how far the clock of tests is moved",
}

# Whose, and the model and the field in which the account or the address stands.
Somebody: TypeAlias = tuple[Whose, str, str]


@register()
def check_inventory(**kwargs: Any) -> list[Error]:
    named = _unresolved("gdpr.recipients", recipients.EARLIEST_START)
    return [*faults(ENTRIES, STORES), *named]


def faults(entries: Iterable[Entry], stores: Iterable[Store]) -> Iterator[Error]:
    """Yield what is wrong with an inventory, held against the installed models."""
    entries = list(entries)
    installed = {model._meta.label: model for model in apps.get_models(include_auto_created=True)}
    named = Counter(entry.model for entry in entries)
    about_people = {settings.AUTH_USER_MODEL} | {e.model for e in entries if _is_about_people(e)}
    for label in installed.keys() - named.keys():
        yield _error("E001", f"{label} is in no inventory.")
    for label, times in named.items():
        if times > 1:
            yield _error("E003", f"{label} has {times} entries.")
    for entry in entries:
        if entry.model in installed:
            yield from _entry_faults(entry, installed[entry.model])
            yield from _leading_faults(entry, installed[entry.model], about_people)
        else:
            yield _error("E002", f"{entry.model} is not installed.")
    yield from _joined_faults([entry for entry in entries if entry.model in installed])
    yield from _kind_faults([entry for entry in entries if entry.model in installed])
    yield from _all_store_faults(list(stores))


def _entry_faults(entry: Entry, model: type[Model]) -> Iterator[Error]:
    yield from _field_faults(entry, model)
    if entry.is_personal:
        yield from _reason_faults(entry)
        yield from _path_faults(entry, model)
    yield from _held_faults(entry, model)
    if entry.keep is not None:
        yield from _keep_faults(entry.model, entry.keep, model)
    elif entry.is_personal:
        yield _error("E010", f"{entry.model} has personal data and no period.")


def _field_faults(entry: Entry, model: type[Model]) -> Iterator[Error]:
    there = {field.name for field in model._meta.get_fields() if field.concrete}
    # A composite key is no column of its own (Django gives it the name "pk").
    there -= {"pk"}
    named = Counter(entry.names)
    for name in sorted(there - named.keys()):
        yield _error("E004", f"{entry.model}.{name} is not classified.")
    for name in sorted(named.keys() - there):
        yield _error("E005", f"{entry.model} has no field {name}.")
    references = [name for item in entry.personal for _, name in item.of if name]
    yield from _missing(entry, model, references)
    for name, times in named.items():
        if times > 1:
            yield _error("E006", f"{entry.model}.{name} is classified {times} times.")


def _reason_faults(entry: Entry) -> Iterator[Error]:
    if not (entry.purposes and entry.basis and entry.role and entry.source):
        yield _error("E007", f"{entry.model} lacks purpose, basis, role or source.")
    if entry.basis is LegalBasis.INTEREST and not entry.interest:
        yield _error("E012", f"{entry.model} rests on an interest that is not stated.")


def _path_faults(entry: Entry, model: type[Model]) -> Iterator[Error]:
    if not entry.paths:
        yield _error("E008", f"{entry.model} has personal data and no path to the subject.")
    for path in entry.paths:
        if path.eraser is None:
            yield _error("E009", f"{entry.model} by {path.lookup} has no eraser.")
        yield from _lookup_faults(entry, path, model)


def _lookup_faults(entry: Entry, path: SubjectPath, model: type[Model]) -> Iterator[Error]:
    blanked = path.fields if path.eraser is Eraser.BLANK else ()
    if path.eraser is Eraser.BLANK and not blanked:
        yield _error("E009", f"{entry.model} by {path.lookup} empties no field.")
    looked_in, here = model, list(path.fields)
    if path.through is not None:
        if path.through.model not in {entry.model for entry in ENTRIES}:
            yield _error("E011", f"{entry.model}: {path.through.model} does not exist.")
            return
        looked_in = apps.get_model(path.through.model)
        here += [name for name, _ in path.through.on] + list(path.through.here)
        yield from _missing(entry, looked_in, [name for _, name in path.through.on])
    yield from _missing(entry, model, here)
    yield from _missing(entry, looked_in, [path.lookup])
    yield from _unresolved(entry.model, path.finder)


def _missing(entry: Entry, model: type[Model], names: Iterable[str]) -> Iterator[Error]:
    for name in names:
        try:
            model._meta.get_field(name.partition(LOOKUP_SEP)[0].removesuffix("_id"))
        except FieldDoesNotExist:
            try:
                model._meta.get_field(name.partition(LOOKUP_SEP)[0])
            except FieldDoesNotExist:
                yield _error("E011", f"{entry.model}: {model._meta.label} has no field {name}.")


def _is_about_people(entry: Entry) -> bool:
    """Say whether its rows lead to a person otherwise than by the customer they act for."""
    paths = entry.for_subject(Whose.PERSON)
    return any(path.eraser is not Eraser.ORGANISATION for path in paths)


def _leading_faults(entry: Entry, model: type[Model], about_people: set[str]) -> Iterator[Error]:
    """Yield each field that leads to somebody and that no path names, and each half of a path."""
    taken = {name for path in entry.paths for name in _named_by(entry, path)}
    for name in sorted(_leading(entry, model, about_people) - taken - {*entry.not_leading}):
        yield _error("E014", f"{entry.model}.{name} leads to a person, and no path names it.")
    for path in entry.paths:
        if not _is_whole(path, entry.paths):
            yield _error("E015", f"{entry.model} by {path.lookup} is found in some states only.")


def _leading(entry: Entry, model: type[Model], about_people: set[str]) -> set[str]:
    """Return the foreign keys to people and their rows, the addresses, and what says it leads."""
    found = {item.name for item in entry.personal if item.leads}
    fields = model._meta.fields
    targets = about_people if entry.is_personal else {settings.AUTH_USER_MODEL}
    found |= {field.name for field in fields if _label(field.related_model) in targets}
    # An account is found by its number; its address goes with it.
    if entry.is_personal and entry.model != settings.AUTH_USER_MODEL:
        found |= {field.name for field in fields if isinstance(field, EmailField)}
    return found


def _label(model: object) -> str:
    return model._meta.label if isinstance(model, type) and issubclass(model, Model) else ""


def _named_by(entry: Entry, path: SubjectPath) -> Iterator[str]:
    names = [name for name, _ in path.through.on] if path.through else []
    if path.through is None or path.through.model == entry.model:
        names.append(path.lookup.partition(LOOKUP_SEP)[0])
    for name in names:
        yield name
        yield name.removesuffix("_id")


def _is_whole(path: SubjectPath, paths: Iterable[SubjectPath]) -> bool:
    """Say whether rows of either state are found, where a path asks for one (`…__isnull`)."""
    if path.through is None:
        return True
    same = [other.through for other in paths if _ways(other) == _ways(path)]
    wheres = [through.where for through in same if through is not None]
    return all(
        any(where.get(name, not value) is not value for where in wheres)
        for name, value in path.through.where.items()
        if name.endswith("__isnull")
    )


def _ways(path: SubjectPath) -> tuple[Any, ...]:
    """Return what two paths have in common that differ in the state of the rows alone."""
    through = path.through
    return path.whose, path.key, path.lookup, through and (through.model, through.on)


def _joined_faults(entries: list[Entry]) -> Iterator[Error]:
    """Yield who is named in a table, but not in one whose rows are joined to it.

    Rows found by other rows are about all of whom those are about. And where those others are
    found through a table, they belong to its rows: it leads to whom they name themselves.
    """
    about = {entry.model: {*_somebody(entry, entry.paths)} for entry in entries}
    missing: set[tuple[str, Somebody]] = set()
    for entry in entries:
        own = {somebody for somebody in _about(entry) if somebody[1] == entry.model}
        for there in (other for other in entries if other.model in _joined(entry)):
            missing |= {(entry.model, who) for who in _about(there) - about[entry.model]}
            missing |= {(there.model, who) for who in own - about[there.model]}
    for label, (_, model, name) in sorted(missing):
        yield _error("E016", f"{label} leads to {model}.{name}, and no path says so.")


def _joined(entry: Entry) -> set[str]:
    return {path.through.model for path in entry.paths if path.through} - {entry.model}


def _about(entry: Entry) -> set[Somebody]:
    return {*_somebody(entry, (path for path in entry.paths if not _is_mention(path)))}


def _is_mention(path: SubjectPath) -> bool:
    """Say whether the row is about something else and names the person in this field alone."""
    name = path.lookup.partition(LOOKUP_SEP)[0]
    return path.whose is Whose.PERSON and path.fields == (name,)


def _somebody(entry: Entry, paths: Iterable[SubjectPath]) -> Iterator[Somebody]:
    """Yield whom the paths compare: the last field of each lookup, and the model that has it."""
    for path in paths:
        label, last = path.through.model if path.through else entry.model, path.lookup
        try:
            model = apps.get_model(label)
        except LookupError:
            continue
        for name in path.lookup.split(LOOKUP_SEP):
            fields = {field.name: field for field in model._meta.fields}
            if name not in fields:  # The way of comparing, such as iexact.
                break
            label, last = model._meta.label, name
            model = fields[name].related_model or model
        yield path.whose, label, last


def _kind_faults(entries: list[Entry]) -> Iterator[Error]:
    """Yield each kind of row that a table may name by kind and number, and that no path takes.

    That is a row with a random number which goes with a person, or is emptied of them. A table that
    the path of another kind goes through needs none: its rows stand in for those of that kind.
    """
    kinds = {entry.model for entry in entries if _goes_with_somebody(entry)}
    for entry in entries:
        throughs = [path.through for path in entry.paths if path.through]
        named = {str(kind) for through in throughs for kind in through.here.values()}
        if named:
            for kind in sorted(kinds - named - {through.model for through in throughs}):
                yield _error("E017", f"{entry.model} may name a row of {kind} that no path takes.")


def _goes_with_somebody(entry: Entry) -> bool:
    erasers = {path.eraser for path in entry.for_subject(Whose.PERSON)}
    is_random = isinstance(apps.get_model(entry.model)._meta.pk, UUIDField)
    return is_random and bool(erasers) and erasers <= {Eraser.ROW, Eraser.BLANK}


def _keep_faults(label: str, keep: Keep, model: type[Model]) -> Iterator[Error]:
    if keep.period is None and not keep.event:
        yield _error("E010", f"{label} is kept without an end.")
    if keep.period is None:
        return
    if keep.clock not in {field.name for field in model._meta.get_fields()}:
        yield _error("E010", f"{label} has a period, but no field that it counts from.")
    if keep.forgetting is Forgetting.ACT and not (keep.act and keep.due):
        yield _error("E010", f"{label} is forgotten by an act that is not named.")
    for name in (keep.period.constant, keep.act, keep.due, keep.oldest):
        yield from _unresolved(label, name)


def _held_faults(entry: Entry, model: type[Model]) -> Iterator[Error]:
    held, outlives = entry.held, any(path.eraser in LEAVING for path in _people(entry))
    # What an erasure leaves of itself, as the ledger, is held by no law on the row.
    if held is None:
        if outlives and Purpose.RIGHTS not in entry.purposes:
            yield _error("E019", f"{entry.model} is left by an erasure, and no law is named.")
        return
    if not outlives or bool(held.clock) is bool(held.over):
        yield _error("E019", f"{entry.model} needs a path that holds it, and a clock or an event.")
    if held.clock and held.period is None and held.law is not Law.BOOKKEEPING:
        yield _error("E019", f"{entry.model} is held without an end.")
    yield from _missing(entry, model, [name for name in (held.clock, *held.empties) if name])
    yield from _unresolved(entry.model, held.over)


def _people(entry: Entry) -> tuple[SubjectPath, ...]:
    return entry.for_subject(Whose.PERSON)


def _all_store_faults(stores: list[Store]) -> Iterator[Error]:
    for store in stores:
        yield from _store_faults(store)
    own = {name for name in dir(settings) if name.isupper()} - {*dir(global_settings)}
    named = " ".join(store.where for store in stores).replace(",", " ").split()
    for name in sorted(own - NO_STORES.keys() - {*named}):
        if _is_place(getattr(settings, name)):
            yield _error("E018", f"{name} says where data lie, and no store names it.")


def _is_place(value: object) -> bool:
    """Say whether a setting, or a part of it, is a path or the address of something but a page."""
    if isinstance(value, list):
        return any(map(_is_place, value))
    if not isinstance(value, str):
        return False
    scheme = urlsplit(value).scheme if "://" in value else ""
    return value.startswith("/") or scheme not in ("", "http", "https")


def _store_faults(store: Store) -> Iterator[Error]:
    if store.is_personal:
        if not (store.keep and store.eraser and store.role and store.purposes):
            yield _error("E013", f"Store {store.key} lacks period, eraser, role or purpose.")
    elif not store.because:
        yield _error("E013", f"Store {store.key} holds nothing personal, without a reason.")
    if store.keep and store.keep.period:
        yield from _unresolved(store.key, store.keep.period.constant)


def _unresolved(label: str, name: str) -> Iterator[Error]:
    if not name:
        return
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        yield _error("E011", f"{label}: {name} does not exist.")


def _error(number: str, message: str) -> Error:
    return Error(message, hint=HINTS[number], id=f"gdpr.{number}")
