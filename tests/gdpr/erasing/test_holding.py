# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an erasure had to leave: kept to its last day, gone after it, and certified once more."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from accounts import audit
from accounts.models import AuditEvent, Membership, Organisation, Role, User
from dpa import expiry
from dpa.models import Agreement, Document
from dpa.terms import KEPT_DAYS
from gdpr import inventory, retention
from gdpr.erasing import completion, erasers, holding, run
from gdpr.models import Erasure, HeldRow, RequestedRight
from gdpr.models.requests import REQUEST_KEPT_DAYS
from gdpr.registry import Cadence, Held, Law
from relay.models import SendingDomain
from tests import build, poppler
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.conftest import later
from tests.gdpr.erasing.held import DAY, LAST_DAY, OVER, Crash, alerts, complete, erased

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def _held(erasure: Erasure) -> Counter[str]:
    return Counter(erasure.held.filter(done_at=None).values_list("model", flat=True))


def test_is_written_down_row_by_row_with_law_and_last_day(carried_out: Erasure) -> None:
    assert _held(carried_out) == {
        "dpa.Agreement": 2,
        "dpa.Document": 2,
        "dpa.AgreementEvent": 2,
        "accounts.Organisation": 1,
        "relay.SendingDomain": 1,
    }
    rows = carried_out.held.filter(model__startswith="dpa.")
    assert set(rows.values_list("law", "until_on")) == {("limitation", LAST_DAY.date())}
    written = rows.filter(model="dpa.Agreement").values_list("key", flat=True)
    kept = Agreement.objects.filter(signatory=None, contact=None)
    assert set(map(UUID, written)) == set(kept.values_list("pk", flat=True))
    told = {tuple(line) for line in carried_out.report["plan"]["kept"]}
    claims = ("legal-claims", "limitation", str(LAST_DAY.date()))
    assert {("dpa.Agreement", 2, *claims), ("dpa.Document", 2, *claims)} <= told
    assert ("accounts.Organisation", 1, "customer", "contract", "") in told
    _assert_partial(carried_out)


def test_erasure_that_leaves_nothing_is_complete_at_its_end(house: Organisation) -> None:
    person = build.person("Ida", "Alene")
    build.member(house, person, Role.VIEWER)
    with build.as_owner():
        asked = seeds.ask(person)
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert asked.completed_at == asked.ended_at == later()
    assert not asked.held.exists()


def _assert_partial(erasure: Erasure) -> None:
    """The certificate has law and day; what is kept is not passed off as done."""
    text = poppler.words(bytes(erasure.certificate or b""))
    assert "forældelsesloven" in text
    assert f"{LAST_DAY:%Y}" in text
    assert (erasure.completed_at, erasure.completion) == (None, None)
    right = RequestedRight.objects.get(erasure=erasure)
    assert right.state == RequestedRight.State.PARTLY_DONE


def test_on_the_last_day_all_is_there(done: Erasure) -> None:
    before = Agreement.objects.count()
    assert holding.release_all(LAST_DAY) == 0
    assert Agreement.objects.count() == before
    assert _held(done) == {"dpa.Agreement": 2, "dpa.Document": 2, "dpa.AgreementEvent": 2}


def test_after_it_nothing_is_left(stays: User, done: Erasure) -> None:
    others = Agreement.objects.exclude(signatory=None, contact=None).count()
    assert holding.release_all(OVER) == 1
    assert Agreement.objects.count() == others > 0
    assert Document.objects.count() == others
    assert _held(done) == {}
    assert set(done.held.values_list("done_at", flat=True)) == {OVER}


def test_twice_is_once(done: Erasure) -> None:
    complete(done)
    before = seeds.contents()
    assert holding.release_all(OVER + DAY) == 0
    assert seeds.contents() == before


def test_night_on_which_nothing_ends_writes_nothing_down(done: Erasure) -> None:
    holding.release_all(LAST_DAY)
    with CaptureQueriesContext(connection) as queries:
        holding.release_all(LAST_DAY)
    assert _held(done).total() == 6
    assert not [one for one in queries if one["sql"].startswith('UPDATE "gdpr_heldrow"')]


def test_what_its_own_period_took_is_ticked(done: Erasure) -> None:
    assert expiry.forget(LAST_DAY) >= 2
    holding.release_all(LAST_DAY)
    assert _held(done) == {}
    done.refresh_from_db()
    assert done.completed_at == LAST_DAY


def test_while_one_row_is_left_there_is_no_second_certificate(gone: User) -> None:
    """Nor is one tried: what is kept for another day longer holds up nothing."""
    own = Agreement.objects.filter(signatory=gone).exclude(in_force_at=None)
    with build.as_owner():
        assert own.update(closed_at=build.NOW + DAY) == 1
    erasure = erased(gone)
    assert holding.release_all(OVER) == 0
    assert _held(erasure) == {"dpa.Agreement": 1, "dpa.Document": 1, "dpa.AgreementEvent": 1}
    erasure.refresh_from_db()
    assert (erasure.completed_at, erasure.completion) == (None, None)
    assert alerts() == set()
    complete(erasure, OVER + DAY)


def test_agreement_in_force_waits_for_its_end(gone: User) -> None:
    rows = Agreement.objects.filter(signatory=gone).exclude(in_force_at=None)
    key, state = rows.get().pk, Agreement.State
    with build.as_owner():
        rows.update(state=state.IN_FORCE, closed_at=None)
    erasure = erased(gone)
    held = HeldRow.objects.get(model="dpa.Agreement", key=key)
    assert held.until_on is None
    holding.release_all(OVER)
    assert _held(erasure) == {"dpa.Agreement": 1, "dpa.Document": 1, "dpa.AgreementEvent": 1}
    with build.as_owner():
        Agreement.objects.filter(pk=key).update(state=state.ENDED, closed_at=OVER)
    holding.release_all(OVER + DAY)
    held.refresh_from_db()
    assert held.until_on == (OVER + KEPT_DAYS * DAY).date()
    holding.release_all(OVER + KEPT_DAYS * DAY)
    assert Agreement.objects.filter(pk=key).exists()
    complete(erasure, OVER + (KEPT_DAYS + 1) * DAY)
    assert not Agreement.objects.filter(pk=key).exists()


def test_row_of_two_erasures_goes_once_and_ends_both(gone: User, stays: User) -> None:
    shared = Agreement.objects.filter(signatory=gone).exclude(in_force_at=None)
    with build.as_owner():
        shared.update(contact=stays)
    (key,) = shared.values_list("pk", flat=True)
    both = [erased(person) for person in (gone, stays)]
    assert HeldRow.objects.filter(model="dpa.Agreement", key=key).count() == 2
    assert holding.release_all(OVER) == 2
    assert not HeldRow.objects.filter(done_at=None, erasure__in=both).exists()


def test_customer_that_has_left_is_emptied(done: Erasure, gone: User) -> None:
    (key,) = done.held.filter(model="accounts.Organisation").values_list("key", flat=True)
    own = Organisation.objects.get(pk=key)
    assert own.name == "Gået Handel"
    assert not Membership.objects.filter(organisation=own).exists()
    holding.release_all(later(days=1))
    own.refresh_from_db()
    assert own.name == ""
    assert not SendingDomain.objects.filter(organisation=own).exists()


def test_row_that_was_emptied_before_is_not_written_again(done: Erasure) -> None:
    holding.release_all(later(days=1))
    (key,) = done.held.filter(model="accounts.Organisation").values_list("key", flat=True)
    before = _version(key)
    erasers.release(*holding.held_by("accounts.Organisation"), [key])
    assert _version(key) == before


def _version(organisation: str) -> str:
    """Where the row lies in its table: writing it again puts it elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid::text FROM accounts_organisation WHERE id = %s", [organisation])
        return str(cursor.fetchone()[0])


def test_customer_with_other_people_stays_as_it_is(gone: User) -> None:
    own = Organisation.objects.get(name="Gået Handel")
    build.member(own, build.person("Mette", "Medejer"), Role.OWNER)
    erasure = erased(gone)
    holding.release_all(OVER)
    own.refresh_from_db()
    assert own.name == "Gået Handel"
    assert _held(erasure) == {"accounts.Organisation": 1, "relay.SendingDomain": 1}
    erasure.refresh_from_db()
    assert erasure.completed_at is None


class TestBookkeeping:
    """No table is bookkeeping material yet: an agreement stands in, its real rows and all."""

    @pytest.fixture(autouse=True)
    def _agreements_are_material(self, monkeypatch: pytest.MonkeyPatch) -> None:
        books = {
            "dpa.Agreement": Held(law=Law.BOOKKEEPING, clock="in_force_at"),
            "dpa.Document": Held(law=Law.BOOKKEEPING, clock="agreement__in_force_at"),
            "dpa.AgreementEvent": Held(law=Law.BOOKKEEPING, clock="agreement__in_force_at"),
        }
        entries = tuple(
            replace(entry, held=books.get(entry.model, entry.held)) for entry in inventory.ENTRIES
        )
        monkeypatch.setattr(inventory, "ENTRIES", entries)
        monkeypatch.setattr(inventory, "_BY_MODEL", {entry.model: entry for entry in entries})

    @pytest.mark.parametrize(
        ("month", "last_day"),
        # build.NOW is in November 2026.
        [(12, date(2031, 12, 31)), (10, date(2032, 10, 31)), (2, date(2032, 2, 29))],
    )
    def test_material_is_kept_through_its_last_day(
        self, asked: Erasure, settings: Settings, month: int, last_day: date
    ) -> None:
        settings.FINANCIAL_YEAR_LAST_MONTH = month
        assert run.carry_out(asked.pk, later())
        rows = asked.held.filter(law="bookkeeping")
        assert set(rows.values_list("until_on", flat=True)) == {last_day}
        asked.refresh_from_db()
        assert "bogføringsloven" in poppler.words(bytes(asked.certificate or b""))
        # Ten minutes to midnight in Copenhagen, and ten past.
        midnight = datetime.combine(last_day + DAY, datetime.min.time(), UTC) - timedelta(hours=1)
        holding.release_all(midnight - timedelta(minutes=10))
        assert rows.filter(done_at=None).count() == rows.count() == 6
        holding.release_all(midnight + timedelta(minutes=10))
        assert not rows.filter(done_at=None).exists()
        keys = rows.filter(model="dpa.Agreement").values_list("key", flat=True)
        assert not Agreement.objects.filter(pk__in=list(keys)).exists()


STEPS: dict[str, tuple[Any, str]] = {
    "row": (erasers, "release"),
    "look": (holding, "_look_at"),
    "completion": (completion, "certify"),
    "audit": (audit, "record_installation"),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_stopped_at_every_step_it_is_completed(
    done: Erasure, step: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is killed one call of the step later than the one before it."""
    module, name = STEPS[step]
    act: Callable[..., Any] = getattr(module, name)
    calls = count()

    def act_or_crash(*args: Any, **kwargs: Any) -> Any:
        is_last = next(calls) == kills
        if is_last and moment == "before":
            raise Crash
        result = act(*args, **kwargs)
        if is_last:
            raise Crash
        return result

    monkeypatch.setattr(module, name, act_or_crash)
    kills = 0
    while Erasure.objects.get(pk=done.pk).completed_at is None:
        calls = count()
        with suppress(Crash):
            holding.release_all(OVER)
            break
        kills += 1
    done.refresh_from_db()
    assert kills >= 1
    assert done.completed_at == OVER
    assert not Agreement.objects.filter(signatory=None, contact=None).exists()
    assert AuditEvent.objects.filter(action="erasure.completed").count() == 1
    assert done.completion_digest == hashlib.sha256(bytes(done.completion or b"")).hexdigest()


def test_one_that_fails_is_told_and_holds_up_no_other(
    stays: User, gone: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done, other = erased(gone), erased(stays)
    release = holding.release

    def fail_for_one(erasure_id: UUID, now: datetime) -> bool:
        if erasure_id == done.pk:
            raise RuntimeError(stays.email)
        return release(erasure_id, now)

    with monkeypatch.context() as patch:
        patch.setattr(holding, "release", fail_for_one)
        assert holding.release_all(OVER) == 1
    assert alerts() == {holding.STUCK}
    assert stays.email not in caplog.text
    other.refresh_from_db()
    assert other.completed_at == OVER
    assert holding.release_all(OVER) == 1
    assert alerts() == set()


def test_row_that_is_still_there_is_found_and_not_certified(
    done: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(erasers, "release", lambda *args: None)
        assert holding.release_all(OVER) == 0
    done.refresh_from_db()
    assert (done.completed_at, done.completion) == (None, None)
    assert alerts() == {holding.STUCK}
    # What was ticked and is there has come back, for whoever looks: it goes with the next run.
    assert holding.release_all(OVER + DAY) == 1


def test_overdue_is_what_should_have_gone_last_night(done: Erasure) -> None:
    assert not holding.overdue(OVER).exists()
    assert holding.overdue(OVER + DAY).count() == 6
    complete(done)
    assert not holding.overdue(OVER + 9 * DAY).exists()


def test_erasure_outlives_its_request(carried_out: Erasure) -> None:
    assert carried_out.right is not None
    carried_out.right.request.delete()
    assert Erasure.objects.get(pk=carried_out.pk).right_id is None
    assert carried_out.held.count() == 8
    complete(carried_out)


def test_period_counts_from_the_last_row(done: Erasure) -> None:
    at_its_end = later() + REQUEST_KEPT_DAYS * DAY
    retention.run(at_its_end, Cadence.NIGHTLY)
    assert Erasure.objects.filter(pk=done.pk).exists()
    holding.release_all(max(at_its_end, OVER))
    done.refresh_from_db()
    assert done.completed_at is not None
    retention.run(done.completed_at + (REQUEST_KEPT_DAYS - 2) * DAY, Cadence.NIGHTLY)
    assert Erasure.objects.filter(pk=done.pk).exists()
    retention.run(done.completed_at + REQUEST_KEPT_DAYS * DAY, Cadence.NIGHTLY)
    assert not Erasure.objects.filter(pk=done.pk).exists()
    assert not HeldRow.objects.filter(erasure=done.pk).exists()
