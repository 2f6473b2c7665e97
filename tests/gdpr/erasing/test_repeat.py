# SPDX-License-Identifier: AGPL-3.0-or-later
"""A database older than an erasure: found by the probe, put right by the repetition."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django.fixtures import Settings

from accounts import clock
from accounts.models import Alert, OutgoingMail, User
from gdpr import ledger, tasks
from gdpr.erasing import repeat, run, steps
from gdpr.erasing.repeat import Repeated
from gdpr.models import Erasure, LedgerEntry
from tests.gdpr.erasing.conftest import OVER, later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def _erased_elsewhere(person: User) -> None:
    """What the journal has after an erasure that the restored database knows nothing of."""
    ledger.enter(uuid4(), person.pk, OVER)
    LedgerEntry.objects.all().delete()


def _repeated(**counts: int) -> Repeated:
    none = {field.name: 0 for field in fields(Repeated)}
    return Repeated(**none | counts)


def _journal() -> Path:
    (file,) = Path(settings.ERASURE_JOURNAL).iterdir()
    return file


def _open_alerts() -> set[str]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def test_who_is_back_is_erased_again_without_another_mail(gone: User, stays: User) -> None:
    _erased_elsewhere(gone)
    OutgoingMail.objects.exclude(kind="test").delete()
    assert repeat.repeat(later(days=1)) == _repeated(entries=1, erased=1)
    assert not User.objects.filter(pk=gone.pk).exists()
    assert User.objects.filter(pk=stays.pk).exists()
    assert not OutgoingMail.objects.exclude(kind="test").exists()
    erasure = Erasure.objects.get(state=Erasure.State.DONE)
    assert erasure.is_repeat
    assert erasure.certificate is not None


def test_repeated_repetition_finds_nothing(gone: User) -> None:
    _erased_elsewhere(gone)
    repeat.repeat(later(days=1))
    assert repeat.repeat(later(days=1)) == _repeated()


def test_backup_from_the_time_to_think_goes_on_at_once(asked: Erasure, gone: User) -> None:
    ledger.enter(asked.pk, gone.pk, OVER)
    LedgerEntry.objects.filter(pk=asked.pk).delete()
    assert repeat.repeat(OVER - timedelta(hours=1)).erased == 1
    asked.refresh_from_db()
    assert asked.state == Erasure.State.DONE


def test_somebody_put_back_beside_a_done_erasure_is_erased_again(
    asked: Erasure, gone: User, stays: User
) -> None:
    assert run.carry_out(asked.pk, later())
    gone.save(force_insert=True)
    assert repeat.repeat(later(days=1)) == _repeated(erased=1)
    assert Erasure.objects.filter(state=Erasure.State.DONE).count() == 2


def test_probe_is_quiet_while_all_is_well(asked: Erasure, gone: User) -> None:
    repeat.probe(later())
    assert run.carry_out(asked.pk, later())
    repeat.probe(later(days=1))
    assert _open_alerts() == set()


def test_probe_tells_of_somebody_who_is_back_until_that_is_put_right(gone: User) -> None:
    _erased_elsewhere(gone)
    repeat.probe(later())
    assert _open_alerts() == {repeat.BACK, repeat.OLDER}
    repeat.repeat(later())
    repeat.probe(later())
    assert _open_alerts() == set()


def test_probe_tells_of_lost_lines_until_they_are_written_again(gone: User, stays: User) -> None:
    ledger.attest(OVER)
    _journal().unlink()
    repeat.probe(later())
    assert _open_alerts() == {repeat.LOST}
    assert repeat.repeat(later()) == _repeated(lost=1)
    repeat.probe(later())
    assert _open_alerts() == set()


def test_probe_tells_of_an_altered_journal_and_forgetting_goes_on(gone: User) -> None:
    ledger.attest(OVER - timedelta(days=ledger.kept_days() + 9))
    ledger.attest(OVER)
    for file in Path(settings.ERASURE_JOURNAL).iterdir():
        file.write_text(file.read_text().replace("until", "since"))
    tasks.probe_erasures()
    assert _open_alerts() == {repeat.ALTERED}
    assert LedgerEntry.objects.filter(until_on__lt=OVER.date() - timedelta(days=8)).count() == 0


def test_command_fails_once_when_the_journal_had_lost_lines(
    gone: User, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.DATABASE_ROLE = "duty"
    ledger.attest(OVER)
    _journal().unlink()
    with pytest.raises(CommandError, match="lost lines"):
        call_command("replay_erasures")
    call_command("replay_erasures")
    assert "0  lost lines" in capsys.readouterr().out
    _journal().write_text(_journal().read_text().replace("until", "since"))
    with pytest.raises(CommandError, match="altered"):
        call_command("replay_erasures")


class TestWorkerAtItsStart:
    @pytest.fixture(autouse=True)
    def _is_the_worker(self, settings: Settings) -> None:
        settings.DATABASE_ROLE = "duty"

    def test_does_not_work_on_a_database_older_than_an_erasure(self, gone: User) -> None:
        _erased_elsewhere(gone)
        with pytest.raises(SystemExit, match="replay_erasures"):
            tasks.refuse_older_database()
        repeat.repeat(later())
        tasks.refuse_older_database()

    def test_writes_that_the_journal_is_there(self, stays: User) -> None:
        tasks.refuse_older_database()
        assert _journal().exists()
        _journal().unlink()
        tasks.refuse_older_database()
        assert _open_alerts() == {repeat.LOST}

    def test_other_processes_have_nothing_to_do_with_it(
        self, gone: User, settings: Settings
    ) -> None:
        _erased_elsewhere(gone)
        settings.DATABASE_ROLE = "relay"
        tasks.refuse_older_database()

    def test_begins_after_a_kill_between_the_line_and_its_row(
        self, asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "_insert", _lose)
            assert not run.carry_out(asked.pk, later())
        assert _journal().exists()
        assert not LedgerEntry.objects.filter(pk=asked.pk).exists()
        tasks.refuse_older_database()
        assert _open_alerts() == {run.ALERT}
        assert LedgerEntry.objects.filter(pk=asked.pk).exists()

    def test_begins_after_the_entry_of_a_day_was_cut_off(
        self, stays: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = LedgerEntry.objects.count()
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "_insert", _lose)
            tasks.refuse_older_database()
        assert _journal().exists()
        tasks.refuse_older_database()
        assert _open_alerts() == set()
        assert LedgerEntry.objects.count() == before + 1

    def test_tells_of_a_journal_that_it_cannot_read(self, stays: User) -> None:
        tasks.refuse_older_database()
        closed = _journal()
        closed.unlink()
        closed.mkdir()
        tasks.refuse_older_database()
        assert _open_alerts() == {repeat.UNREADABLE, repeat.UNWRITABLE}
        closed.rmdir()
        repeat.repeat(clock.now())
        tasks.refuse_older_database()
        assert _open_alerts() == set()

    def test_tells_of_a_journal_that_it_cannot_write(self, stays: User) -> None:
        Path(settings.ERASURE_JOURNAL).write_text("in the way")
        tasks.refuse_older_database()
        assert _open_alerts() == {repeat.UNWRITABLE}


def _lose(erased: ledger.Erased) -> None:
    raise OperationalError("the database is gone")


def test_repetition_carries_on_an_erasure_that_is_stuck_here_and_its_person_hears_of_it(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(steps.ACTS, "survey", lambda work: 1 / 0)
        assert not run.carry_out(asked.pk, later())
    OutgoingMail.objects.all().delete()
    assert repeat.repeat(later(minutes=1)) == _repeated(erased=1)
    asked.refresh_from_db()
    assert (asked.state, asked.is_repeat) == (Erasure.State.DONE, False)
    assert OutgoingMail.objects.filter(kind="gdpr/letter").exists()


def test_probe_leaves_alone_an_erasure_that_is_running(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(steps.ACTS, "survey", lambda work: 1 / 0)
    assert not run.carry_out(asked.pk, later())
    repeat.probe(later())
    assert _open_alerts() == {run.ALERT}


def test_repeated_erasure_that_is_running_is_not_somebody_back(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.carry_out(asked.pk, later())
    gone.save(force_insert=True)
    monkeypatch.setitem(steps.ACTS, "ledger", lambda work: 1 / 0)
    assert repeat.repeat(later()).unfinished == 1
    assert repeat.compare(later()).back == []
