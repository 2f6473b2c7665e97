# SPDX-License-Identifier: AGPL-3.0-or-later
"""A period is one figure: changed where its owner keeps it, it is changed everywhere at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.audit import events
from accounts.models import Membership
from accounts.tenancy import organisation_context
from dpa import composition, offering
from gdpr import retention
from relay.models import messages
from tests import build
from tests.accounts.visiting import at, visit
from tests.dpa import papers
from tests.dpa.test_facts import words

pytestmark = pytest.mark.django_db

DAYS = 321


@dataclass(frozen=True, slots=True)
class Figure:
    """A constant, the table that it is the period of, and what the proof page says of it."""

    owner: Any
    name: str
    table: str
    proof: str = ""


FIGURES = (
    Figure(messages, "LOG_DAYS", "relay.Message", f"gone after {DAYS} days"),
    Figure(events, "AUDIT_DAYS", "accounts.AuditEvent"),
)


def _places(figure: Figure, by: Membership) -> dict[str, bool]:
    """Whether each place that has the figure has DAYS."""
    told = {
        "purge": _purged_after(figure.table) == timedelta(days=DAYS),
        "retention table": f"{DAYS} days" in Client().get(at("gdpr:retention")).text,
        "notice": f"{DAYS} days" in Client().get(at("gdpr:privacy")).text,
        "appendix": f"{DAYS} dage" in _appendix(by),
    }
    if figure.proof:
        page = visit(by.user, by.organisation).get(at("proof")).text
        told["proof page"] = figure.proof in page
    return told


def _purged_after(table: str) -> timedelta:
    with build.as_role("duty"):
        (step,) = [step for step in retention.plan(build.NOW) if step.what == table]
    period = step.keep.period
    assert period
    return period.length


def _appendix(by: Membership) -> str:
    with organisation_context(by.organisation_id, person_id=by.user_id):
        return words(composition.read(offering.draft(by, build.NOW).facts))


def _may_be_signed(by: Membership) -> bool:
    """Whether the version that awaits a signature says what one issued now would."""
    with organisation_context(by.organisation_id, person_id=by.user_id):
        return offering.reusable(by, offering.draft(by, build.NOW)) is not None


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_changed_in_one_place_it_is_changed_everywhere(
    figure: Figure, by: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    with organisation_context(by.organisation_id, person_id=by.user_id):
        papers.offer(by, b"%PDF-1.7 as issued")
    before = _places(figure, by)
    assert before == dict.fromkeys(before, False)
    assert _may_be_signed(by)
    monkeypatch.setattr(figure.owner, figure.name, DAYS)
    assert _places(figure, by) == dict.fromkeys(before, True)
    assert not _may_be_signed(by)
