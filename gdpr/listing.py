# SPDX-License-Identifier: AGPL-3.0-or-later
"""The inventory as rows of words, one for each field and each store, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from gdpr.inventory import ENTRIES, STORES
from gdpr.registry import Entry, Keep, NotPersonal, Personal, Store, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A field or a store; what does not apply is empty."""

    place: str
    field: str
    personal: bool
    what: str
    role: str = ""
    purposes: str = ""
    basis: str = ""
    source: str = ""
    kept: str = ""
    figure: str = ""
    clock: str = ""
    subjects: str = ""
    erasure: str = ""
    access: str = ""
    portable: bool = False
    corrected_by: str = ""
    recipients: str = ""


def lines() -> Iterator[Line]:
    """Yield the whole inventory in the active language."""
    for entry in ENTRIES:
        for field in entry.fields:
            if isinstance(field, Personal):
                yield _personal(entry, field)
            else:
                yield from _not_personal(entry, field)
    yield from map(_store, STORES)


def records() -> list[dict[str, str | bool]]:
    """Return the lines for JSON and CSV."""
    return [asdict(line) for line in lines()]


def _personal(entry: Entry, field: Personal) -> Line:
    return Line(
        place=entry.model,
        field=field.name,
        personal=True,
        what=str(field.what),
        role=_label(entry.role),
        purposes=_labels(entry.purposes),
        basis=_label(entry.basis),
        source=_label(entry.source),
        subjects=_labels(entry.whose),
        erasure=_labels(path.eraser for path in entry.paths if path.eraser),
        access=_label(field.access),
        portable=field.portable,
        corrected_by=_label(field.corrected_by),
        recipients=_labels(entry.audiences),
        kept=_kept(entry.keep),
        figure=_figure(entry.keep),
        clock=entry.keep.clock if entry.keep else "",
    )


def _not_personal(entry: Entry, group: NotPersonal) -> Iterator[Line]:
    for name in group.names:
        yield Line(
            place=entry.model,
            field=name,
            personal=False,
            what=group.because,
            kept=_kept(entry.keep),
            figure=_figure(entry.keep),
        )


def _store(store: Store) -> Line:
    return Line(
        place=store.key,
        field="",
        personal=store.is_personal,
        what=str(store.personal or store.because),
        role=_label(store.role),
        purposes=_labels(store.purposes),
        erasure=str(store.eraser),
        recipients=_labels(store.audiences),
        kept=_kept(store.keep),
        figure=_figure(store.keep),
    )


def _kept(keep: Keep | None) -> str:
    return keep.words if keep else ""


def _figure(keep: Keep | None) -> str:
    return keep.period.constant if keep and keep.period else ""


def _label(value: object) -> str:
    label: Text = getattr(value, "label", "")
    return str(label)


def _labels(values: Iterable[object]) -> str:
    return "; ".join(dict.fromkeys(map(_label, values)))
