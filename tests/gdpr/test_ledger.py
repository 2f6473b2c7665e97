# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings as configured
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.signedlines import LinesAltered
from gdpr import ledger
from gdpr.models import LedgerEntry
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

TODAY = build.NOW.date()


@pytest.fixture(autouse=True)
def _own_journal(settings: Settings, tmp_path: Path) -> None:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures")


def _files() -> list[Path]:
    return sorted(Path(configured.ERASURE_JOURNAL).iterdir())


def _enter(user: User) -> ledger.Erased:
    return ledger.enter(uuid4(), user.id, build.NOW)


def test_journal_and_table_say_the_same_and_name_nobody(anna: User) -> None:
    erased = _enter(anna)
    assert ledger.journal(TODAY) == {erased.erasure_id: erased}
    assert ledger.missing(TODAY) == ledger.unwritten(TODAY) == []
    row = LedgerEntry.objects.get()
    assert (row.erasure_id, bytes(row.person_digest)) == (erased.erasure_id, erased.person_digest)
    (file,) = _files()
    text = file.read_text() + str(LedgerEntry.objects.values())
    assert anna.email not in text
    assert str(anna.id) not in text
    assert anna.id.hex not in text


def test_digests_need_the_key_of_the_vault(anna: User, settings: Settings, tmp_path: Path) -> None:
    before = ledger.person_digest(anna.id)
    settings.VAULT_URL = (tmp_path / "other").as_uri()
    assert ledger.person_digest(anna.id) != before


def test_entering_again_after_a_crash_changes_nothing(anna: User) -> None:
    erasure_id = uuid4()
    for _ in range(2):
        ledger.enter(erasure_id, anna.id, build.NOW)
    assert LedgerEntry.objects.count() == len(ledger.journal(TODAY)) == 1


def test_older_database_lacks_what_the_journal_has(anna: User) -> None:
    erased = _enter(anna)
    LedgerEntry.objects.all().delete()
    assert ledger.missing(TODAY) == [erased]
    ledger.bring_in(ledger.missing(TODAY))
    assert ledger.missing(TODAY) == []


def test_person_erased_twice_is_missed_twice(anna: User) -> None:
    both = [_enter(anna), _enter(anna)]
    LedgerEntry.objects.all().delete()
    assert ledger.missing(TODAY) == both


def test_journal_that_lost_lines_lacks_what_the_table_has(anna: User, carl: User) -> None:
    _enter(anna)
    (file,) = _files()
    before = file.read_bytes()
    last = _enter(carl)
    file.write_bytes(before)
    assert ledger.unwritten(TODAY) == [last]
    file.unlink()
    assert len(ledger.unwritten(TODAY)) == 2
    ledger.write_again(ledger.unwritten(TODAY), build.NOW)
    assert ledger.unwritten(TODAY) == []


def test_journal_is_not_missed_for_what_it_may_drop(anna: User, settings: Settings) -> None:
    settings.BACKUP_DAYS = 100
    _enter(anna)
    settings.BACKUP_DAYS = 10
    after = build.NOW + timedelta(days=90)
    ledger.forget(after)
    assert _files() == []
    assert LedgerEntry.objects.exists()
    assert ledger.unwritten(after.date()) == []


def test_empty_journal_is_missed_though_nobody_was_erased(anna: User) -> None:
    for _ in range(2):
        ledger.attest(build.NOW)
    (entry,) = ledger.journal(TODAY).values()
    assert list(ledger.resurrected(TODAY)) == []
    _files()[0].unlink()
    assert ledger.unwritten(TODAY) == [entry]


def test_who_was_erased_and_is_there_is_found(anna: User, carl: User) -> None:
    assert list(ledger.resurrected(TODAY)) == []
    erased = _enter(anna)
    assert [(user.id, found) for user, found in ledger.resurrected(TODAY)] == [(anna.id, erased)]
    LedgerEntry.objects.all().delete()
    assert [user.id for user, _ in ledger.resurrected(TODAY)] == [anna.id]


def test_table_alone_finds_them_too(anna: User) -> None:
    _enter(anna)
    for file in _files():
        file.unlink()
    assert [user.id for user, _ in ledger.resurrected(TODAY)] == [anna.id]


def test_who_comes_again_by_themselves_is_another(anna: User) -> None:
    _enter(anna)
    with build.as_owner():
        User.objects.filter(pk=anna.pk).delete()
    build.person("Anna", "Due")
    assert list(ledger.resurrected(TODAY)) == []


def test_altered_journal_is_told(anna: User) -> None:
    _enter(anna)
    (file,) = _files()
    file.write_text(file.read_text().replace(str(build.NOW.year), "2020"))
    with pytest.raises(LinesAltered):
        list(ledger.resurrected(TODAY))


def test_entry_is_kept_as_long_as_a_backup_and_then_goes(anna: User, settings: Settings) -> None:
    settings.BACKUP_DAYS = 10
    erased = _enter(anna)
    assert erased.until_on == TODAY + timedelta(days=10 + ledger.MARGIN_DAYS)
    last = build.NOW + timedelta(days=10 + ledger.MARGIN_DAYS)
    assert ledger.forget(last) == 0
    assert ledger.journal(last.date())
    after = last + timedelta(days=1)
    assert ledger.journal(after.date()) == {}
    assert ledger.forget(after) == 1
    ledger.forget(after + timedelta(days=31))
    assert _files() == []


def test_whom_the_ledger_has_forgotten_nobody_erases_again(anna: User) -> None:
    _enter(anna)
    after = TODAY + timedelta(days=ledger.kept_days() + 1)
    assert list(ledger.resurrected(after)) == []
