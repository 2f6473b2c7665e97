# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows of every kind that lead to a person, so that each path of the inventory has one to find."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zlib import crc32

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from accounts import audit, models, vault
from accounts.models import Organisation, Role, User
from dpa.models import AgreementEvent, Signatory
from gdpr import inventory, packages, subjects
from gdpr.ledger import person_digest
from gdpr.models import (
    Approval,
    Correction,
    Erasure,
    ErasureSubject,
    HeldRow,
    Import,
    LedgerEntry,
    Letter,
    Notice,
    Package,
    PersonRestriction,
    Release,
    Right,
    Step,
)
from gdpr.registry import Whose
from gdpr.rights import erasure
from relay.models import SendingDomain
from tests import build


def somebody(first_name: str, last_name: str, organisation: Organisation) -> User:
    """A person with a row behind every path of the inventory, in an organisation with others."""
    person = build.person(first_name, last_name, phone=_phone(last_name))
    with build.as_owner():
        _own(person, organisation)
        _mentions(person, organisation)
        _business(person)
        _signing(person, organisation)
        _doings(person, organisation)
        _requests(person)
        _restrictions(person)
        _acts_of_others(person, organisation)
    return person


def _phone(name: str) -> str:
    """A number of eight digits, the same in every run and another for every name."""
    return f"+45 {crc32(name.encode()) % 10**8:08d}"


def _own(person: User, organisation: Organisation) -> None:
    build.member(organisation, person, Role.ADMIN)
    build.second_factor(person)
    build.session(person, organisation)
    codes = models.BackupCodeDevice.objects.create(user=person, name="codes", created_at=build.NOW)
    models.BackupCode.objects.create(device=codes, user=person, code_hash=b"x")
    models.Consent.objects.create(**consent_of(person, build.NOW))
    group, _ = Group.objects.get_or_create(name="support")
    person.groups.add(group)
    person.user_permissions.add(Permission.objects.first())  # type: ignore[arg-type]


def consent_of(person: User, at: datetime, **fields: Any) -> dict[str, Any]:
    values = {"user": person, "purpose": "newsletter", "version": 1, "language": "da"}
    made = {"digest": "x", "given_in": "profile", "given_at": at, "confirmed_at": at}
    return {**values, **made, **fields}


def _mentions(person: User, organisation: Organisation) -> None:
    other = build.person("Kollega", f"Nr{uuid4().hex}")
    build.member(organisation, other, Role.VIEWER, approved_by=person)
    third = f"tredje@{uuid4().hex}.example"
    sent = [(person.email, None, None), (other.email, person, None), (third, person, build.NOW)]
    for email, by, taken_up in sent:
        models.Invitation.objects.create(
            organisation=organisation,
            email=email,
            invited_by=by,
            role=Role.VIEWER,
            token_hash=uuid4().bytes,
            created_at=build.NOW,
            expires_at=build.NOW + timedelta(days=7),
            accepted_at=taken_up,
        )
    for owner, address in ((person, other.email), (other, person.email)):
        Release.objects.create(person=owner, address=address, reason="-", decided_at=build.NOW)
    mail = models.OutgoingMail(kind="test", created_at=build.NOW, due_at=build.NOW)
    letter = json.dumps({"to": person.email}).encode()
    mail.sealed = vault.seal(f"outgoing-mail|{mail.id}", letter)
    mail.save()


def _business(person: User) -> None:
    own = build.organisation(f"{person.last_name} Handel", standing=Organisation.Standing.CLOSING)
    build.member(own, person, Role.OWNER)
    SendingDomain.objects.create(
        organisation=own, name=f"{uuid4().hex}.example", token="x", created_at=build.NOW
    )


def _signing(person: User, organisation: Organisation) -> None:
    signs = {"signatory": person, "signatory_name": person.get_full_name()}
    for named in (signs, {"contact": person}):
        for in_force_at in (build.NOW, None):
            _agreement(organisation, in_force_at, named)
    membership = person.memberships.get(organisation=organisation)
    Signatory.objects.create(organisation=organisation, membership=membership, named_at=build.NOW)


def _agreement(
    organisation: Organisation, in_force_at: datetime | None, named: dict[str, Any]
) -> None:
    """One that was in force and is evidence, or one that not both have signed."""
    made = build.agreement(organisation, in_force_at=in_force_at, **named)
    AgreementEvent.objects.create(
        organisation=organisation,
        agreement=made,
        sequence=1,
        at=build.NOW,
        act=AgreementEvent.Act.OFFERED,
        evidence=[],
        previous_digest=b"",
        digest=b"x",
    )


def _doings(person: User, organisation: Organisation) -> None:
    audit.record(person, "organisation.rectified", organisation)
    audit.record_installation(person, "person.rectified", person)
    brought = [{"table": "accounts.User", "row": {"last_login": "2026-01-01T00:00:00Z"}}]
    Import.objects.create(person=person, records=brought, made_at=build.NOW, taken_at=build.NOW)
    kind = ContentType.objects.get_for_model(User)
    staff = build.person("Stine", f"Stab{uuid4().hex}", is_staff=True)
    for user, target in [(person, staff), (staff, person)]:
        LogEntry.objects.create(
            user=user,
            content_type=kind,
            object_id=str(target.pk),
            object_repr=str(target),
            action_flag=CHANGE,
        )


def _requests(person: User) -> None:
    request = build.request_of(person, Right.RECTIFICATION, Right.ACCESS)
    right = request.rights.first()
    assert right is not None
    words = f"{person.get_full_name()} har nu {person.phone} og skriver fra {person.email}"
    right.details = words
    right.state, right.closed_at = right.State.REFUSED, build.NOW
    right.resolution = words
    right.save()
    Step.objects.create(
        right=right, kind=Step.Kind.ASSESS, by=Step.By.STAFF, at=build.NOW,
        actor_id=audit.actor_id(None, person), reason=words,
    )  # fmt: skip
    Correction.objects.create(
        right=right, field="accounts.User.email", value="gerda@nyt.example", evidence="Pas"
    )
    build.letter_of(right)
    build.claim_of(person)
    colleague = build.person("Sofus", f"Stab{uuid4().hex}", is_staff=True)
    for asked_by, decided_by in [(person, colleague), (colleague, person)]:
        Approval.objects.create(
            what=Approval.What.ERASURE, subject_id=uuid4(), asked_at=build.NOW, asked_by=asked_by,
            decided_at=build.NOW, decided_by=decided_by, decision=Approval.Decision.APPROVED,
        )  # fmt: skip
    package = build.package_of(build.request_of(person, Right.PORTABILITY))
    path = packages.path_of(package.pk)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"sealed")
    earlier = Erasure.objects.create(
        right=right,
        language="da",
        state=Erasure.State.CANCELLED,
        asked_at=build.NOW,
        due_at=build.NOW,
        ended_at=build.NOW,
        completed_at=build.NOW,
    )
    ErasureSubject.objects.create(erasure=earlier, sealed=b"x")
    HeldRow.objects.create(erasure=earlier, model="dpa.Agreement", key="1", law="limitation")
    LedgerEntry.objects.create(
        erasure_id=earlier.pk,
        person_digest=person_digest(person.pk),
        entered_at=build.NOW,
        until_on=build.NOW.date(),
    )


def _restrictions(person: User) -> None:
    PersonRestriction.objects.create(
        person=person,
        ground=PersonRestriction.Ground.CLAIMS,
        restricted_at=build.NOW,
        lifted_at=build.NOW,
    )
    # It is over, so that nobody is told of more than a test is about.
    host = build.supplier(f"Værtshuset {uuid4().hex}", ends_on=date(2026, 6, 30))
    host.save()
    Notice.objects.create(
        person=person,
        recipient=host,
        change=Notice.Change.RESTRICTED,
        cause_id=uuid4(),
        opened_at=build.NOW,
    )


def _acts_of_others(person: User, organisation: Organisation) -> None:
    """What the audit trail has of others who did something to the person."""
    by = build.person("Sigurd", f"Stab{uuid4().hex}", is_staff=True)
    membership = person.memberships.get(organisation=organisation)
    audit.record(by, "membership.role-changed", membership, ["role"])
    audit.record(by, "signatory.named", Signatory.objects.get(membership=membership))
    audit.record(by, "invitation.sent", models.Invitation.objects.get(email=person.email))
    audit.record_installation(by, "person.viewed", person)
    consent = models.Consent.objects.get(user=person)
    audit.record_installation(by, "consent.withdrawn", consent)
    letter = Letter.objects.get(right__request__person=person)
    audit.record_installation(by, "letter.viewed", letter)
    restriction = PersonRestriction.objects.get(person=person)
    audit.record_installation(by, "restriction.announced", restriction)
    package = Package.objects.get(person=person)
    audit.record_installation(by, "request.viewed", package.right)
    audit.record_installation(None, "package.made", package)


def contents() -> dict[str, set[str]]:
    """Every row of every table, as PostgreSQL writes it out."""
    found = {}
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND NOT relispartition AND relnamespace = 'public'::regnamespace"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            found[table] = {text for (text,) in cursor.fetchall()}
    return found


def rows_of(person: User) -> dict[str, set[str]]:
    """The rows that lead to a person by the inventory, by table, as PostgreSQL writes them out."""
    found = {}
    subject = subjects.person(person)
    with build.as_owner(), connection.cursor() as cursor:
        for entry in inventory.entries_about(Whose.PERSON):
            meta = subjects.model_of(entry)._meta
            keys = [str(key) for key in subjects.rows(entry, subject).values_list("pk", flat=True)]
            cursor.execute(
                f"SELECT t::text FROM {meta.db_table} t WHERE {meta.pk.column}::text = ANY(%s)",
                [keys],
            )
            found[meta.db_table] = {text for (text,) in cursor.fetchall()}
    return found


def ask(person: User) -> Erasure:
    """An erasure asked for at NOW by a person who has nothing else."""
    return erasure.ask(person, build.NOW, session_key=None)
