# SPDX-License-Identifier: AGPL-3.0-or-later
"""Made from the inventory: of two people one is erased, and the other's rows stay as they were."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from accounts.models import User
from gdpr import inventory, subjects
from gdpr.erasing import erasers, plan
from gdpr.registry import Entry, Eraser, SubjectPath, Whose
from tests import build
from tests.gdpr.erasing import seeds

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

ABOUT = {entry.model: entry for entry in inventory.entries_about(Whose.PERSON)}
CHANGED = {entry.model: entry for entry in plan.erased_entries()}
PATHS = [
    (entry.model, path) for entry in ABOUT.values() for path in entry.for_subject(Whose.PERSON)
]


def _texts(rows: QuerySet[Any]) -> list[str]:
    keys = [row.pk for row in rows]
    meta = rows.model._meta
    key = meta.pk.column if meta.pk else "id"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t::text FROM {meta.db_table} t WHERE {key}::text = ANY(%s) ORDER BY 1",
            [[str(each) for each in keys]],
        )
        return [text for (text,) in cursor.fetchall()]


def _found(entry: Entry, path: SubjectPath, person: User) -> QuerySet[Any]:
    return subjects.rows_by(entry, subjects.person(person), path)


def _label(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "lookup", "")


@pytest.mark.parametrize(("model", "path"), PATHS, ids=_label)
def test_every_path_finds_a_row_of_each_person_and_none_of_the_other(
    model: str, path: SubjectPath, gone: User, stays: User
) -> None:
    theirs = {row.pk for row in _found(ABOUT[model], path, gone)}
    others = {row.pk for row in _found(ABOUT[model], path, stays)}
    assert theirs
    assert others
    assert not theirs & others


@pytest.mark.parametrize("model", CHANGED)
def test_one_is_erased_and_the_other_stays_as_they_were(
    model: str, gone: User, stays: User
) -> None:
    entry = CHANGED[model]
    subject = subjects.person(gone)
    kept = _texts(subjects.rows(entry, subjects.person(stays)))
    before = seeds.contents()
    theirs = set(_texts(subjects.rows(entry, subject)))
    done = erasers.erase(entry, subject)
    assert done.removed + done.changed >= 1
    assert _texts(subjects.rows(entry, subjects.person(stays))) == kept
    table = subjects.model_of(entry)._meta.db_table
    assert before[table] - seeds.contents()[table] <= theirs
    again = erasers.erase(entry, subject)
    assert again.removed == 0


@pytest.mark.parametrize("model", CHANGED)
def test_nothing_of_the_person_is_left_in_the_table(model: str, gone: User) -> None:
    entry = CHANGED[model]
    subject = subjects.person(gone)
    paths = entry.for_subject(Whose.PERSON)
    for path in paths:
        assert subjects.rows_by(entry, subject, path).exists()
    erasers.erase(entry, subject)
    for path in paths:
        rows = subjects.rows_by(entry, subject, path)
        if path.eraser is Eraser.BLANK:
            empty = (None, "", b"")
            values = rows.values_list(*path.fields)
            assert all(value in empty for row in values for value in row)
        elif path.eraser is Eraser.ROW:
            assert not rows.exists()


def test_tables_are_erased_before_those_their_rows_lead_through() -> None:
    order = list(CHANGED)
    assert order[-1] == "accounts.User"
    assert order.index("accounts.BackupCode") < order.index("accounts.BackupCodeDevice")
    assert order.index("gdpr.RequestedRight") < order.index("accounts.User")


@pytest.mark.parametrize("model", ["gdpr.RequestedRight", "gdpr.Step", "gdpr.Correction"])
def test_every_hop_of_a_path_is_erased_later(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, so that no third table puts the two in order by luck."""
    pair = (ABOUT["accounts.User"], ABOUT[model])
    monkeypatch.setattr(plan, "entries_about", lambda whose: pair)
    assert [entry.model for entry in plan.erased_entries()] == [model, "accounts.User"]


def test_every_table_is_erased_or_kept_on_a_ground(gone: User) -> None:
    made = plan.plan(subjects.person(gone), build.NOW)
    told = [line.model for line in (*made.deleted, *made.anonymised)]
    told += [hold.model for hold in made.kept]
    assert set(told) == set(ABOUT) - {plan.OWN}


def test_plan_changes_nothing(gone: User) -> None:
    before = seeds.contents()
    plan.plan(subjects.person(gone), build.NOW)
    assert seeds.contents() == before


def test_plan_survives_its_way_through_the_database(gone: User) -> None:
    made = plan.plan(subjects.person(gone), build.NOW)
    assert plan.Plan.from_json(made.as_json()) == made
