# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from pytest_django.fixtures import Settings

from accounts import audit, clock
from accounts.audit import anchors
from accounts.audit.events import APPEND
from accounts.models import (
    AuditActor,
    AuditChain,
    AuditCheckpoint,
    AuditEvent,
    Organisation,
    User,
)
from accounts.tenancy import organisation_context, person_context, staff_context
from tests import build

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_anchors(settings: Settings, tmp_path: Path) -> None:
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")


@pytest.fixture
def chain(organisation: Organisation, anna: User) -> Organisation:
    """Five events of Anna's."""
    with organisation_context(organisation.id, person_id=anna.id):
        for act in ["a.made", "b.made", "c.changed", "b.removed", "d.made"]:
            audit.record(anna, act, organisation, ["name", "city"])
    return organisation


def _verify() -> list[str]:
    with build.as_owner():
        return audit.verify()


def _run(sql: str) -> None:
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_untouched_chain_is_whole(chain: Organisation) -> None:
    with build.as_owner():
        audit.anchor_heads(clock.now())
    assert _verify() == []


def test_event_names_the_actor_by_a_random_id(chain: Organisation, anna: User) -> None:
    with organisation_context(chain.id):
        event = AuditEvent.objects.get(sequence=1)
        actor = AuditActor.objects.get()
    assert (actor.id, actor.user_id) == (event.actor_id, anna.id)
    assert event.actor_id != anna.id
    assert (event.action, event.target_type, event.target_id) == (
        "a.made",
        "accounts.Organisation",
        str(chain.id),
    )
    assert event.fields == ["name", "city"]


def test_actor_differs_between_organisations(
    chain: Organisation, other_organisation: Organisation, anna: User
) -> None:
    with organisation_context(other_organisation.id, person_id=anna.id):
        audit.record(anna, "a.made", other_organisation)
    with build.as_owner():
        assert AuditActor.objects.filter(user=anna).count() == 2
    assert _verify() == []


def test_installation_has_a_chain_of_its_own(anna: User, organisation: Organisation) -> None:
    with person_context(anna.id):
        audit.record_installation(anna, "person.signed-in", anna)
    audit.record_installation(None, "organisation.noticed", organisation)
    with build.as_owner():
        assert AuditChain.objects.get().organisation_id is None
    assert _verify() == []


def test_staff_records_in_an_organisation(organisation: Organisation, dorte: User) -> None:
    with person_context(dorte.id), staff_context():
        audit.record(dorte, "organisation.suspended", organisation, ["standing"])
    assert _verify() == []


def test_person_as_target_is_named_by_the_same_erasable_id(anna: User) -> None:
    with person_context(anna.id):
        audit.record_installation(anna, "person.changed", anna)
        actor = AuditActor.objects.get()
    with build.as_owner():
        found = AuditEvent.objects.get()
        assert (found.target_type, found.target_id) == ("accounts.User", str(actor.id))
        assert found.actor_id == actor.id


def test_chain_stays_whole_when_its_actor_is_erased(chain: Organisation) -> None:
    with build.as_owner():
        audit.anchor_heads(clock.now())
        AuditActor.objects.all().delete()
    assert _verify() == []


def test_deleted_organisation_is_told_from_a_lost_chain(chain: Organisation) -> None:
    with build.as_owner():
        audit.anchor_heads(clock.now())
        Organisation.objects.filter(pk=chain.pk).delete()
        assert _verify() == [f"{chain.id}: the chain is gone, it had 5 events"]
        audit.record_installation(None, audit.DELETED, chain)
    assert _verify() == []


def test_target_without_organisation_is_a_mistake(anna: User) -> None:
    with pytest.raises(TypeError):
        audit.record(anna, "person.changed", anna)


@pytest.mark.parametrize("value", ["anna@due.example", "two words", "a|b", "æ"])
def test_values_and_addresses_are_refused(
    organisation: Organisation, anna: User, value: str
) -> None:
    with (
        pytest.raises(DatabaseError, match="names and ids only"),
        organisation_context(organisation.id, person_id=anna.id),
    ):
        audit.record(anna, "a.made", organisation, [value])


def test_other_organisation_is_refused(
    organisation: Organisation, other_organisation: Organisation, anna: User
) -> None:
    with (
        pytest.raises(DatabaseError, match="of another organisation"),
        organisation_context(organisation.id, person_id=anna.id),
    ):
        _append(other_organisation.id, None)


def _append(organisation_id: UUID | None, actor_id: UUID | None, at: datetime = build.NOW) -> None:
    """Call the function as whoever holds the session could."""
    with connection.cursor() as cursor:
        cursor.execute(APPEND, [organisation_id, actor_id, "a.made", "kind", "id", [], at])


def _actor(user: User, organisation: Organisation | None) -> UUID:
    with build.as_owner():
        return AuditActor.objects.create(user=user, organisation=organisation).id


def test_web_without_a_context_speaks_for_no_organisation(
    organisation: Organisation, anna: User
) -> None:
    with (
        pytest.raises(DatabaseError, match="outside its context"),
        person_context(anna.id),
    ):
        _append(organisation.id, _actor(anna, organisation))


@pytest.mark.parametrize("whose", ["colleague", "nobody", "invented", "other chain"])
@pytest.mark.parametrize("as_staff", [False, True])
def test_person_speaks_for_nobody_else(
    organisation: Organisation, anna: User, bo: User, whose: str, as_staff: bool
) -> None:
    actors = {
        "colleague": _actor(bo, organisation),
        "nobody": None,
        "invented": uuid4(),
        "other chain": _actor(anna, None),
    }
    context = staff_context if as_staff else nullcontext
    with (
        pytest.raises(DatabaseError, match="in the name of another"),
        organisation_context(organisation.id, person_id=anna.id),
        context(),
    ):
        _append(organisation.id, actors[whose])


def test_who_is_not_signed_in_speaks_for_nobody(organisation: Organisation, anna: User) -> None:
    _append(None, None)
    with organisation_context(organisation.id):
        _append(organisation.id, None)
    actor = _actor(anna, None)
    with pytest.raises(DatabaseError, match="in the name of another"), transaction.atomic():
        _append(None, actor)
    with pytest.raises(DatabaseError, match="in the name of another"), person_context(anna.id):
        _append(None, None)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_web_records_what_happens_now(settings: Settings, minutes: int) -> None:
    settings.TEST_CLOCK_FILE = ""
    with build.as_owner():
        audit.prepare()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    _append(None, None, now + timedelta(minutes=minutes * 2 / 3))
    with pytest.raises(DatabaseError, match="another time than now"), transaction.atomic():
        _append(None, None, now + timedelta(minutes=minutes))


def test_web_can_only_append(chain: Organisation) -> None:
    for change in [
        lambda: AuditEvent.objects.update(action="x"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: AuditChain.objects.update(head_sequence=1),
        lambda: AuditCheckpoint.objects.update(sequence=1),
    ]:
        with pytest.raises(DatabaseError), organisation_context(chain.id):
            change()


EDIT = "UPDATE accounts_auditevent SET action = 'x.made' WHERE sequence = 3"
DELETE = "DELETE FROM accounts_auditevent WHERE sequence = 3"
REORDER = """
UPDATE accounts_auditevent SET sequence = 30 WHERE sequence = 3;
UPDATE accounts_auditevent SET sequence = 3 WHERE sequence = 2;
UPDATE accounts_auditevent SET sequence = 2 WHERE sequence = 30"""
TAIL = "DELETE FROM accounts_auditevent WHERE sequence > 3"
TAIL_AND_HEAD = (
    TAIL
    + """;
UPDATE accounts_auditchain SET head_sequence = 3,
    head_digest = (SELECT digest FROM accounts_auditevent WHERE sequence = 3)"""
)
BEGINNING = "DELETE FROM accounts_auditevent WHERE sequence < 3"
FORGED_CHECKPOINT = (
    BEGINNING
    + """;
INSERT INTO accounts_auditcheckpoint (organisation_id, sequence, digest, signature, created_at)
SELECT organisation_id, 2, previous_digest, 'x'::bytea, now() FROM accounts_auditevent
WHERE sequence = 3"""
)
EXTRA = """
INSERT INTO accounts_auditevent (organisation_id, sequence, at, actor_id, action, target_type,
    target_id, fields, previous_digest, digest)
SELECT organisation_id, 6, at, actor_id, action, target_type, target_id, fields, digest, digest
FROM accounts_auditevent WHERE sequence = 5"""
# All digests made again after an edit: only the anchor knows better.
REWRITTEN = (
    EDIT
    + """;
DO $$
DECLARE e accounts_auditevent%ROWTYPE; last bytea := ''::bytea;
BEGIN
    FOR e IN SELECT * FROM accounts_auditevent ORDER BY sequence LOOP
        last := sha256(last || convert_to(concat_ws('|', e.sequence, e.organisation_id::text,
            to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
            coalesce(e.actor_id::text, '-'), e.action, e.target_type, e.target_id,
            array_to_string(e.fields, ',')), 'UTF8'));
        UPDATE accounts_auditevent SET digest = last WHERE id = e.id;
        UPDATE accounts_auditevent SET previous_digest = last WHERE sequence = e.sequence + 1;
    END LOOP;
    UPDATE accounts_auditchain SET head_digest = last;
END $$"""
)


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        (EDIT, "event 3 was altered"),
        (DELETE, "event 3 is missing"),
        (REORDER, "event 2 does not follow"),
        (TAIL, "the chain ends at event 3, its head says 5"),
        (TAIL_AND_HEAD, "cut at event 3, it had 5"),
        (BEGINNING, "event 1 is missing"),
        (FORGED_CHECKPOINT, "checkpoint 2 is not signed by us"),
        (EXTRA, "events beyond the head"),
        (REWRITTEN, "event 5 is not the one that was anchored"),
        ("DELETE FROM accounts_auditchain", "the chain is gone, it had 5 events"),
    ],
)
@pytest.mark.usefixtures("as_duty_process")
def test_tampering_is_found(
    chain: Organisation, tampering: str, finding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with build.as_owner():
        audit.anchor_heads(clock.now())
    _run(tampering)
    with build.as_owner(), pytest.raises(CommandError):
        call_command("verify_audit")
    assert f"{chain.id}: {finding}" in capsys.readouterr().out


def test_tampering_of_rewritten_chain_needs_the_anchor(chain: Organisation) -> None:
    _run(REWRITTEN)
    assert _verify() == []


@pytest.mark.usefixtures("as_duty_process")
def test_verify_command_says_when_all_is_whole(
    chain: Organisation, capsys: pytest.CaptureFixture[str]
) -> None:
    with build.as_owner():
        call_command("verify_audit")
    assert capsys.readouterr().out == "Every chain is whole.\n"


@pytest.mark.parametrize(
    "alter",
    [
        lambda lines: [lines[0].replace("|5|", "|4|"), *lines[1:]],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[0], "junk"],
    ],
)
def test_altered_anchor_file_is_found(
    chain: Organisation, settings: Settings, alter: Callable[[list[str]], list[str]]
) -> None:
    for _ in range(3):
        with build.as_owner():
            audit.anchor_heads(clock.now())
    (file,) = Path(settings.AUDIT_ANCHORS).iterdir()
    file.write_text("\n".join(alter(file.read_text().splitlines())) + "\n")
    (fault,) = _verify()
    assert fault.startswith("anchors: ")


@pytest.mark.as_role("duty")
class TestExpiry:
    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = build.NOW
        monkeypatch.setattr("accounts.clock.now", lambda: self.at)

    def _record(self, organisation: Organisation, at: datetime) -> None:
        self.at = at
        audit.record(None, "a.made", organisation)

    def test_keeps_exactly_the_period(self, organisation: Organisation) -> None:
        period = timedelta(days=audit.AUDIT_DAYS)
        second = timedelta(seconds=1)
        for age in [period + second, period, period - second]:
            self._record(organisation, build.NOW - age)
        assert audit.expire(build.NOW) == 1
        assert AuditCheckpoint.objects.get().created_at == build.NOW
        assert list(AuditEvent.objects.values_list("sequence", flat=True)) == [2, 3]
        assert audit.verify() == []

    def test_chain_goes_on_after_everything_expired(self, organisation: Organisation) -> None:
        for _ in range(2):
            self._record(organisation, build.NOW)
            audit.anchor_heads(build.NOW)
        later = build.NOW + timedelta(days=audit.AUDIT_DAYS + 1)
        assert audit.expire(later) == 2
        assert audit.expire(later) == 0
        assert audit.verify() == []
        self._record(organisation, later)
        assert audit.verify() == []
        assert audit.expire(later + timedelta(days=audit.AUDIT_DAYS + 1)) == 1
        assert AuditCheckpoint.objects.get().sequence == 3
        assert audit.verify() == []

    def test_clock_that_went_back_expires_nothing_early(self, organisation: Organisation) -> None:
        old = build.NOW - timedelta(days=audit.AUDIT_DAYS, seconds=1)
        for at in [old, build.NOW, old]:
            self._record(organisation, at)
        assert audit.expire(build.NOW) == 1

    def test_old_anchor_files_go(self, organisation: Organisation) -> None:
        self._record(organisation, build.NOW)
        audit.anchor_heads(build.NOW)
        later = build.NOW + timedelta(days=audit.AUDIT_DAYS + 31)
        audit.expire(later)
        audit.anchor_heads(later)
        assert len(list(anchors.read(later))) == 1
        assert audit.verify() == []
