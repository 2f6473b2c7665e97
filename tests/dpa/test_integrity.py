# SPDX-License-Identifier: AGPL-3.0-or-later
"""A version that is not as it was issued and signed says so; one that is has no fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import Membership
from dpa import integrity, signing
from dpa.models import Agreement
from tests import build
from tests.dpa import papers

pytestmark = pytest.mark.django_db

State = Agreement.State
JUNK = b"%PDF-junk"


@pytest.fixture
def row(inside: Membership) -> Agreement:
    return papers.sign(papers.offer(inside, JUNK), inside, JUNK)


def shortened(row: Agreement) -> None:
    row.events.filter(sequence=2).delete()


def advanced(row: Agreement) -> None:
    Agreement.objects.filter(pk=row.pk).update(state=State.IN_FORCE)


def emptied(row: Agreement) -> None:
    row.events.all().delete()


def test_whole_at_each_state(inside: Membership) -> None:
    offered = papers.offer(inside, JUNK)
    assert list(integrity.faults(offered)) == []
    signed = papers.sign(offered, inside, JUNK)
    assert list(integrity.faults(signed)) == []
    withdrawn = signing.withdraw(signed.pk, by=inside, now=build.NOW)
    assert list(integrity.faults(withdrawn)) == []


@pytest.mark.parametrize("fault", [shortened, advanced, emptied])
def test_state_is_held_against_the_last_event(
    row: Agreement, fault: Callable[[Agreement], None]
) -> None:
    with build.as_owner():
        fault(row)
    row.refresh_from_db()
    assert "its state is not that of its last event" in list(integrity.faults(row))


def test_signature_is_not_undone_by_deleting_its_event(row: Agreement) -> None:
    """The last event is deleted, and the state set back; the signed document is still there."""
    with build.as_owner():
        row.events.filter(sequence=2).delete()
        Agreement.objects.filter(pk=row.pk).update(state=State.OFFERED)
    row.refresh_from_db()
    assert list(integrity.faults(row)) == ["no event tells of the document signed"]


def test_other_signatory_shows(row: Agreement) -> None:
    row.signatory_name = "Bo Due"
    assert list(integrity.faults(row)) == ["the signatory is not the one who is named in it"]
