# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows that were kept, went, and are there again: they are found, told and erased again."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts import audit
from accounts.models import AuditEvent
from dpa.models import Agreement
from gdpr.erasing import erasers, holding
from gdpr.models import Erasure
from gdpr.registry import Entry, Held
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.erasing.held import DAY, OVER, Crash, alerts, complete

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


@pytest.fixture
def row(done: Erasure) -> Agreement:
    """A row that was kept, as it was before it went."""
    kept = Agreement.objects.filter(signatory=None, contact=None).first()
    assert kept is not None
    complete(done)
    return kept


def test_row_of_a_restored_table_is_told_and_erased_again(done: Erasure, row: Agreement) -> None:
    with build.as_owner():
        row.save(force_insert=True)
    assert [held.key for held in holding.returned()] == [str(row.pk)]
    holding.release_all(OVER + DAY)
    assert alerts() == {holding.BACK}
    assert not Agreement.objects.filter(pk=row.pk).exists()
    assert AuditEvent.objects.filter(action="erasure.held-erased-again").exists()
    holding.release_all(OVER + 2 * DAY)
    assert alerts() == set()


def test_row_that_the_law_holds_now_is_told_and_left(
    row: Agreement, clock: Clock, settings: Settings
) -> None:
    settings.DATABASE_ROLE, clock.now = "duty", OVER + DAY
    row.closed_at = OVER
    with build.as_owner():
        row.save(force_insert=True)
    assert holding.erase_again(OVER + DAY) == 1
    assert alerts() == {holding.BACK}
    assert Agreement.objects.filter(pk=row.pk).exists()
    with pytest.raises(CommandError, match="Not all"):
        call_command("replay_erasures")


def test_stopped_between_row_and_record_it_is_told_and_done_by_the_next_run(
    row: Agreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: Any) -> None:
        raise Crash

    with build.as_owner():
        row.save(force_insert=True)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "record_installation", crash)
        with pytest.raises(Crash):
            holding.erase_again(OVER + DAY)
    assert alerts() == {holding.BACK}
    assert Agreement.objects.filter(pk=row.pk).exists()
    holding.erase_again(OVER + DAY)
    assert not Agreement.objects.filter(pk=row.pk).exists()
    assert AuditEvent.objects.filter(action="erasure.held-erased-again").count() == 1


def test_one_that_cannot_go_is_told_and_holds_up_no_other(
    done: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Agreement.objects.filter(signatory=None, contact=None)
    complete(done)
    release = erasers.release

    def release_one(entry: Entry, held: Held, keys: list[str]) -> None:
        if keys == [str(first.pk)]:
            raise RuntimeError
        release(entry, held, keys)

    with build.as_owner():
        first.save(force_insert=True)
        second.save(force_insert=True)
    monkeypatch.setattr(erasers, "release", release_one)
    holding.release_all(OVER + DAY)
    left = Agreement.objects.filter(pk__in=[first.pk, second.pk])
    assert [one.pk for one in left] == [first.pk]
    assert alerts() == {holding.BACK}


@pytest.mark.parametrize("is_older", [True, False])
def test_replay_erases_what_had_gone(
    done: Erasure,
    row: Agreement,
    clock: Clock,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    *,
    is_older: bool,
) -> None:
    """Whether the tables know that it had gone, or are those of a backup from before that."""
    settings.DATABASE_ROLE, clock.now = "duty", OVER + DAY
    with build.as_owner():
        row.save(force_insert=True)
        if is_older:
            done.held.update(done_at=None)
            Erasure.objects.filter(pk=done.pk).update(completed_at=None, completion=None)
    call_command("replay_erasures")
    told = {line.strip() for line in capsys.readouterr().out.splitlines()}
    assert f"{int(is_older)}  erasures of which nothing is kept now" in told
    assert f"{int(not is_older)}  rows erased again that were kept longer" in told
    assert not Agreement.objects.filter(pk=row.pk).exists()
    done.refresh_from_db()
    assert done.completion is not None
