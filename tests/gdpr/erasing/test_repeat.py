# SPDX-License-Identifier: AGPL-3.0-or-later
"""A database older than an erasure: found by the probe, put right by the repetition."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import Alert, OutgoingMail, User
from gdpr import ledger
from gdpr.erasing import repeat, run, steps
from gdpr.erasing.repeat import Repeated
from gdpr.models import Erasure, LedgerEntry
from tests.gdpr.erasing.conftest import OVER, later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def _erased_elsewhere(person: User) -> None:
    """What the journal has after an erasure that the restored database knows nothing of."""
    ledger.enter(uuid4(), person.pk, person.email, OVER)
    LedgerEntry.objects.all().delete()


def _open_alerts() -> set[str]:
    return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def test_who_is_back_is_erased_again_without_another_mail(gone: User, stays: User) -> None:
    _erased_elsewhere(gone)
    OutgoingMail.objects.exclude(kind="test").delete()
    assert repeat.repeat(later(days=1)) == Repeated(entries=1, erased=1, unfinished=0, remaining=0)
    assert not User.objects.filter(pk=gone.pk).exists()
    assert User.objects.filter(pk=stays.pk).exists()
    assert not OutgoingMail.objects.exclude(kind="test").exists()
    erasure = Erasure.objects.get(state=Erasure.State.DONE)
    assert erasure.is_repeat
    assert erasure.certificate is not None


def test_repeated_repetition_finds_nothing(gone: User) -> None:
    _erased_elsewhere(gone)
    repeat.repeat(later(days=1))
    assert repeat.repeat(later(days=1)) == Repeated(entries=0, erased=0, unfinished=0, remaining=0)


def test_backup_from_the_time_to_think_goes_on_at_once(asked: Erasure, gone: User) -> None:
    ledger.enter(asked.pk, gone.pk, gone.email, OVER)
    LedgerEntry.objects.filter(pk=asked.pk).delete()
    assert repeat.repeat(OVER - timedelta(hours=1)).erased == 1
    asked.refresh_from_db()
    assert asked.state == Erasure.State.DONE


def test_somebody_put_back_beside_a_done_erasure_is_erased_again(
    asked: Erasure, gone: User, stays: User
) -> None:
    assert run.carry_out(asked.pk, later())
    gone.save(force_insert=True)
    assert repeat.repeat(later(days=1)) == Repeated(entries=0, erased=1, unfinished=0, remaining=0)
    assert Erasure.objects.filter(state=Erasure.State.DONE).count() == 2


def test_probe_is_quiet_while_all_is_well(asked: Erasure, gone: User) -> None:
    assert repeat.probe(later()) == 0
    assert run.carry_out(asked.pk, later())
    assert repeat.probe(later(days=1)) == 0
    assert _open_alerts() == set()


def test_probe_tells_of_somebody_who_is_back_until_that_is_put_right(gone: User) -> None:
    _erased_elsewhere(gone)
    assert repeat.probe(later()) == 1
    assert _open_alerts() == {repeat.BACK, repeat.OLDER}
    repeat.repeat(later())
    assert repeat.probe(later()) == 0
    assert _open_alerts() == set()


def test_probe_leaves_alone_an_erasure_that_is_running(
    asked: Erasure, gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(steps.ACTS, "survey", lambda work: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.carry_out(asked.pk, later())
    assert repeat.probe(later()) == 0
