# SPDX-License-Identifier: AGPL-3.0-or-later
"""The digest of an event covers every column of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Membership
from dpa import lineage
from dpa.models import Agreement, AgreementEvent
from tests import build
from tests.dpa import papers

pytestmark = pytest.mark.django_db

JUNK = b"%PDF-junk"


@pytest.fixture
def row(inside: Membership) -> Agreement:
    return papers.sign(papers.offer(inside, JUNK), inside, JUNK)


def other_house() -> Any:
    return build.organisation("Andet Hus A/S").pk


CHANGES: dict[str, Any] = {
    "organisation_id": other_house,
    "agreement_id": lambda: build.agreement(build.organisation("Andet Hus A/S")).pk,
    "sequence": lambda: 3,
    "at": lambda: build.NOW + timedelta(seconds=1),
    "act": lambda: AgreementEvent.Act.SEALED,
    "evidence": lambda: ["by:customer"],
    "previous_digest": lambda: b"x",
    "digest": lambda: b"x",
}


def test_events_as_they_were_written_have_no_fault(row: Agreement) -> None:
    assert list(lineage.faults(row)) == []


def test_changes_are_of_every_column() -> None:
    assert {field.attname for field in AgreementEvent._meta.fields} - {"id"} == CHANGES.keys()


@pytest.mark.parametrize("column", CHANGES)
def test_changed_column_shows(row: Agreement, column: str) -> None:
    event = row.events.get(sequence=2)
    with build.as_owner():
        setattr(event, column, CHANGES[column]())
    assert bytes(event.digest) != lineage._digest(event)
