# SPDX-License-Identifier: AGPL-3.0-or-later
"""The restore drill: nothing that was erased comes back with a dump from before.

Real programs throughout: pg_dump as the role `backup`, psql, the worker, manage.py.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Organisation, User
from dpa.models import Agreement
from dpa.terms import KEPT_DAYS
from gdpr import ledger, seals
from gdpr.erasing import holding, run
from gdpr.models import Erasure, HeldRow
from tests import build
from tests.gdpr.correspondents import seeds as mail
from tests.gdpr.correspondents.conftest import ERIK
from tests.gdpr.erasing import restoring
from tests.gdpr.erasing.conftest import later
from tests.gdpr.erasing.reading import attached
from tests.gdpr.processes import here

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.as_role("duty"),
    pytest.mark.timeout(900),
]

STAYS = "bodil@bliver.example"
PEOPLE = "SELECT id FROM accounts_user WHERE id = ANY(%s)"
ADDRESSES = (
    "SELECT id, certificate, certificate_digest FROM gdpr_addresserasure WHERE state = 'done'"
)
ERASURE = (
    "SELECT id, is_repeat, state, report, certificate, certificate_digest FROM gdpr_erasure"
    " WHERE state = 'done'"
)
STEPS = (
    "SELECT name, removed, changed FROM gdpr_erasurestep WHERE erasure_id = %s ORDER BY position"
)
LEDGER = "SELECT person_digest FROM gdpr_ledgerentry WHERE erasure_id = %s"
HELD = "SELECT model, key, law FROM gdpr_heldrow WHERE erasure_id = %s ORDER BY 1, 2"
AGREEMENTS = "SELECT id FROM dpa_agreement WHERE id = ANY(%s)"


@pytest.fixture
def two_days_later(settings: Settings, tmp_path: Path) -> None:
    """The time as the processes see it: after all that the test does, on any day."""
    file, ahead = tmp_path / "clock", later(days=2) - datetime.now(UTC)
    file.write_text(str(ahead.total_seconds()))
    settings.TEST_CLOCK_FILE = str(file)


@pytest.mark.usefixtures("two_days_later")
def test_person_in_a_dump_is_erased_before_the_database_is_used(
    asked: Erasure, gone: User, stays: User, tmp_path: Path
) -> None:
    sought = _sought(gone)
    dump = restoring.dump(tmp_path / "dump.sql")
    assert run.carry_out(asked.pk, later())
    left = restoring.search(here(), sought, _kept(asked))
    with restoring.restored(dump) as database:
        people = [gone.pk, stays.pk]
        assert len(restoring.read(database, PEOPLE, people)) == 2
        _assert_refused(restoring.worker(database))
        answer = restoring.replay(database)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "1  people erased again" in answer.stdout
        assert restoring.read(database, PEOPLE, people) == [(stays.pk,)]
        assert restoring.search(database, sought, _kept(asked)) == left
        assert [one for one in left if _is_left(*one)] == []
        _assert_agree(database, asked)
        assert restoring.READY in restoring.worker(database)
        again = restoring.replay(database)
        assert (again.returncode, "0  people erased again" in again.stdout) == (0, True)


@pytest.mark.usefixtures("two_days_later")
def test_what_was_kept_longer_is_erased_again_with_its_second_certificate(
    asked: Erasure, gone: User, tmp_path: Path
) -> None:
    long_ago = build.NOW - (KEPT_DAYS + 1) * timedelta(days=1)
    with build.as_owner():
        Agreement.objects.filter(signatory=gone).update(closed_at=long_ago)
        Agreement.objects.filter(contact=gone).update(closed_at=long_ago)
    assert run.carry_out(asked.pk, later())
    held = [UUID(key) for key in _kept(asked)["dpa.Agreement"]]
    dump = restoring.dump(tmp_path / "dump.sql")
    assert holding.release_all(later(days=1)) == 1
    with restoring.restored(dump) as database:
        assert len(restoring.read(database, AGREEMENTS, held)) == len(held) == 2
        answer = restoring.replay(database)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "1  erasures of which nothing is kept now" in answer.stdout
        assert restoring.read(database, AGREEMENTS, held) == []
        ((pdf, digest),) = restoring.read(
            database, "SELECT completion, completion_digest FROM gdpr_erasure WHERE state = 'done'"
        )
        assert hashlib.sha256(pdf).hexdigest() == digest
        assert attached(pdf)["erasure"] == str(asked.pk)
        entry = ledger.completion_of(asked.pk)
        for name in (database, here()):
            assert restoring.read(name, LEDGER, entry) == [(b"",)]


def test_recipient_in_a_dump_is_erased_before_the_database_is_used(
    house: Organisation, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    recipients = "SELECT recipient FROM relay_delivery WHERE recipient <> '' ORDER BY 1"
    for address in (ERIK, STAYS):
        mail.mail(house, now - timedelta(minutes=10), address)
    dump = restoring.dump(tmp_path / "dump.sql")
    erasure = mail.erased(house, ERIK, now)
    with restoring.restored(dump) as database:
        assert restoring.read(database, recipients) == [(STAYS,), (ERIK,)]
        _assert_refused(restoring.worker(database))
        answer = restoring.replay(database)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "1  addresses erased again" in answer.stdout
        assert restoring.read(database, recipients) == [(STAYS,)]
        sought = {"person_id": str(uuid4()), "address": ERIK}
        assert restoring.search(database, sought, {}) == []
        ((key, pdf, digest),) = restoring.read(database, ADDRESSES)
        assert key == erasure.pk
        assert hashlib.sha256(pdf).hexdigest() == digest
        assert len(restoring.read(database, LEDGER, key)) == 1
        assert restoring.READY in restoring.worker(database)


def _assert_refused(said: str) -> None:
    """The worker takes no task on a database that is older than an erasure."""
    assert "run manage.py replay_erasures" in said
    assert restoring.READY not in said


def _sought(person: User) -> dict[str, str]:
    return {
        "person_id": str(person.pk),
        "address": person.email,
        "phone": person.phone,
        "name": person.get_full_name(),
    }


def _kept(erasure: Erasure) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for row in HeldRow.objects.filter(erasure=erasure):
        found[row.model].append(row.key)
    return dict(found)


def _is_left(place: str, kind: str, count: int, kept: int) -> bool:
    """Whether it is the number or the address, outside the rows that a law keeps."""
    return kind in ("person", "address") and count != kept


def _assert_agree(database: str, asked: Erasure) -> None:
    """The certificate of the repetition says what the ledger, the rows and the first one say."""
    ((key, is_repeat, state, report, pdf, digest),) = restoring.read(database, ERASURE)
    assert (key, is_repeat, state) == (asked.pk, True, "done")
    (entered,) = restoring.read(database, LEDGER, asked.pk)
    assert [entered] == restoring.read(here(), LEDGER, asked.pk)
    assert hashlib.sha256(pdf).hexdigest() == digest
    assert seals.verify(pdf, now=later(days=3)).sound
    data = attached(pdf)
    assert data["erasure"] == str(asked.pk)
    assert data["plan"] == report["plan"]
    steps = restoring.read(database, STEPS, asked.pk)
    assert [tuple(step) for step in data["steps"]] == steps[:-2]
    rows = [step for step in steps if step[0].startswith("rows:")]
    first = [step for step in restoring.read(here(), STEPS, asked.pk) if step in rows]
    assert first == rows
    assert restoring.read(database, HELD, asked.pk) == restoring.read(here(), HELD, asked.pk)
