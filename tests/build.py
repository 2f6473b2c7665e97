# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plain builders of rows. They write as the owner of the tables, whatever role the test has."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django_otp import DEVICE_ID_SESSION_KEY

from accounts import models, vault
from accounts.ids import uuid7, uuid7_time
from accounts.models import Membership, Organisation, Role, User
from accounts.models.devices import totp_purpose
from accounts.sessions import SessionStore
from dpa.models import Agreement, AgreementEvent, Document, Signatory
from gdpr.correspondents import subject
from gdpr.models import (
    AddressErasure,
    AddressPackage,
    Approval,
    Claim,
    Correction,
    Enquiry,
    Erasure,
    ErasureStep,
    ErasureSubject,
    ForwardedRequest,
    HeldRow,
    Import,
    LedgerEntry,
    Letter,
    Notice,
    Package,
    PersonRestriction,
    Recipient,
    Release,
    Request,
    RequestedRight,
    Right,
    Step,
)
from relay.models import (
    Attempt,
    Content,
    Credential,
    Delivery,
    DkimKey,
    DkimSecret,
    DomainRecord,
    Ending,
    EspEvent,
    Hold,
    Message,
    MessageHeader,
    QueuedDelivery,
    Quota,
    Report,
    Route,
    SendingDomain,
)
from tests import choices

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSWORD = "tolv-tegn-og-27-tal"
# What a version of Anna's agreement was filled with.
AGREED = json.loads((Path(__file__).parent / "dpa" / "facts.json").read_text())


@contextmanager
def as_owner() -> Iterator[None]:
    """Write as the owner, then go back to the role the test runs under.

    In one statement, and none on the way back inside another: builders call each other often.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, session_user, set_config('role', 'none', false)")
        role, owner, _ = cursor.fetchone()
        yield
        if role != owner:
            cursor.execute(f"SET ROLE {connection.ops.quote_name(role)}")


@contextmanager
def as_role(role: str) -> Iterator[None]:
    """Do something as another runtime role than the test's own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (before,) = cursor.fetchone()
        cursor.execute(f"SET ROLE {connection.ops.quote_name(role)}")
        yield
        cursor.execute(f"SET ROLE {connection.ops.quote_name(before)}")


def person(first_name: str, last_name: str, **fields: Any) -> User:
    """A confirmed person at <first name>@<last name>.example with the password PASSWORD."""
    values: dict[str, Any] = {"confirmed_at": NOW, "created_at": NOW, "language": "da"} | fields
    with as_owner():
        return User.objects.create_user(
            f"{first_name}@{last_name}.example".lower(),
            PASSWORD,
            first_name=first_name,
            last_name=last_name,
            **values,
        )


def organisation(name: str, **fields: Any) -> Organisation:
    """An organisation that may send, with its key."""
    values: dict[str, Any] = {"created_at": NOW, "sending_allowed": True} | fields
    with as_owner():
        made = Organisation.objects.create(name=name, **values)
        sealed = vault.new_organisation_key(made.id)
        models.OrganisationKey.objects.create(organisation=made, sealed=sealed, created_at=NOW)
    return made


def member(organisation: Organisation, user: User, role: Role, **fields: Any) -> Membership:
    values: dict[str, Any] = {"created_at": NOW, "approved_at": NOW} | fields
    with as_owner():
        return Membership.objects.create(organisation=organisation, user=user, role=role, **values)


def second_factor(user: User) -> bytes:
    """Give a person an authenticator app; return its key."""
    secret = secrets.token_bytes(20)
    with as_owner():
        models.TOTPDevice.objects.create(
            user=user,
            name="app",
            sealed_key=vault.seal(totp_purpose(user.id), secret),
            created_at=NOW,
        )
    return secret


def forget_used_values() -> None:
    """A value of an app is good once; do not wait half a minute for the next one."""
    with as_owner():
        models.TOTPDevice.objects.update(last_step=-1)


def session(user: User, organisation: Organisation | None = None) -> str:
    """A session of a person who is signed in, with the second factor they have; its key."""
    store = SessionStore()
    store[SESSION_KEY] = str(user.id)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    if organisation is not None:
        store["organisation"] = str(organisation.id)
    with as_owner():
        device = models.TOTPDevice.objects.filter(user=user).first()
        if device is not None:
            store[DEVICE_ID_SESSION_KEY] = device.persistent_id
        store.create()
    return str(store.session_key)


def agreement(organisation: Organisation, **fields: Any) -> Agreement:
    """A version of an agreement, withdrawn unless `fields` say otherwise; its bytes are junk."""
    values: dict[str, Any] = {
        "number": Agreement.objects.filter(organisation=organisation).count() + 1,
        "state": Agreement.State.WITHDRAWN,
        "text_language": "da",
        "text_version": "1",
        "facts": AGREED,
        "signatory_name": "Anna Due",
        "offered_at": NOW,
        "closed_at": NOW,
    }
    made = Agreement.objects.create(organisation=organisation, **values | fields)
    content = b"%PDF-" + made.id.bytes
    Document.objects.create(
        organisation=organisation,
        agreement=made,
        kind=Document.Kind.OFFERED,
        content=content,
        sha256=sha256(content).digest(),
        created_at=NOW,
    )
    return made


def supplier(name: str = "Værtshuset A/S", **values: Any) -> Recipient:
    """A row of the register, not yet entered: who hosts the machines since half a year ago."""
    given: dict[str, Any] = {
        "address": "Serverstræde 1, 2620 Albertslund",
        "country": "DK",
        "company_number": "20000007",
        "contact": "gdpr@vaertshuset.example",
        "services": ["hosting"],
        "starts_on": date(2026, 6, 1),
        "contract_on": date(2026, 6, 1),
        "reviewed_on": date(2026, 6, 1),
    }
    return Recipient(name=name, **given | values)


def message_id() -> UUID:
    """An id of a message accepted a minute ago, in a partition that exists."""
    return uuid7(datetime.now(UTC) - timedelta(minutes=1))


def everything_of(organisation: Organisation, user: User) -> None:
    """One row in every table that holds something of a tenant or a person; secrets are junk."""
    with as_owner():
        _accounts_rows(organisation, user)
        mail_of(organisation)
        _dpa_rows(organisation, user)
        _gdpr_rows(user)
        Enquiry.objects.create(sealed=None, received_at=NOW, due_at=NOW)
        forwarded_to(organisation)
        address_erasure(organisation)
        address_package(organisation)


def _accounts_rows(organisation: Organisation, user: User) -> None:
    of = {"organisation": organisation}
    junk = {"organisation": organisation, "sequence": 1, "digest": b"x"}
    models.Invitation.objects.create(
        **of,
        email="ida@inviteret.example",
        role=Role.VIEWER,
        token_hash=organisation.id.bytes,
        created_at=NOW,
        expires_at=NOW,
    )
    models.TOTPDevice.objects.create(user=user, name="app", sealed_key=b"x", created_at=NOW)
    codes = models.BackupCodeDevice.objects.create(user=user, name="codes", created_at=NOW)
    models.BackupCode.objects.create(device=codes, user=user, code_hash=b"x")
    models.AuditChain.objects.create(**of, head_digest=b"x")
    models.AuditActor.objects.create(**of, user=user)
    models.AuditCheckpoint.objects.create(**junk, signature=b"x", created_at=NOW)
    models.AuditEvent.objects.create(
        **junk, at=NOW, action="a", target_type="b", target_id="c", fields=[], previous_digest=b""
    )
    models.Consent.objects.create(
        user=user, purpose="newsletter", version=1, language="da", digest="x", given_in="profile",
        given_at=NOW, confirmed_at=NOW,
    )  # fmt: skip
    models.OutgoingMail.objects.create(**of, kind="test", sealed=b"x", created_at=NOW, due_at=NOW)


def mail_of(organisation: Organisation) -> None:
    """A way to send, and a message that waits with its content."""
    with as_owner():
        _mail_rows(organisation)


def _mail_rows(organisation: Organisation) -> None:
    of: dict[str, Any] = {"organisation": organisation}
    message = message_id()
    row = of | {"accepted_at": uuid7_time(message)}
    Credential.objects.create(
        **of, name="web", username=str(organisation.id)[:30], secret_hash=b"x", created_at=NOW
    )
    domain = SendingDomain.objects.create(
        **of, name=f"{organisation.id}.example", token="x", created_at=NOW
    )
    _key_rows(domain)
    route = Route.objects.create(**of, name="server", host="mail.example", created_at=NOW)
    EspEvent.objects.create(**of, route=route, received_at=row["accepted_at"], sealed=b"x")
    Hold.objects.create(**of, message_id=message_id(), held_at=NOW)
    Quota.objects.create(**of, messages_a_day=50_000)
    choices.make(organisation, NOW)
    Message.objects.create(**row, id=message, sender="a@b.example", size=1, recipients=1)
    Delivery.objects.create(
        **row, message_id=message, position=0, recipient="erik@modtager.example"
    )
    Attempt.objects.create(
        **row,
        message_id=message,
        position=0,
        number=1,
        started_at=NOW,
        finished_at=NOW,
        verdict=Attempt.Verdict.RETRY,
    )
    MessageHeader.objects.create(**row, message_id=message, header="Subject: x")
    Ending.objects.create(**row, message_id=message, position=0, state=Delivery.State.EXPIRED)
    Report.objects.create(
        **row,
        message_id=message,
        position=0,
        number=1,
        received_at=NOW,
        source=Report.Source.BOUNCE,
        kind=Report.Kind.FAILED,
    )
    Content.objects.create(
        **row,
        message_id=message,
        hour_key_id="x",
        wrapped_key=b"x",
        ciphertext=b"x",
        open_deliveries=1,
    )
    QueuedDelivery.objects.create(
        **row,
        message_id=message,
        position=0,
        recipient="erik@modtager.example",
        due_at=NOW,
        expires_at=NOW,
    )


def _key_rows(domain: SendingDomain) -> None:
    of: dict[str, Any] = {"organisation_id": domain.organisation_id}
    key = DkimKey.objects.create(
        **of,
        domain=domain,
        selector="bdaaaaaaaa",
        algorithm=DkimKey.Algorithm.RSA,
        public="x",
        created_at=NOW,
    )
    DkimSecret.objects.create(**of, key=key, sealed=b"x")
    DomainRecord.objects.create(**of, domain=domain, kind=DomainRecord.Kind.DKIM, key=key)


def request_of(user: User, *rights: Right, **fields: Any) -> Request:
    """A request of a person, received at NOW, in which every right is being assessed."""
    values: dict[str, Any] = {"channel": Request.Channel.PORTAL, "language": user.language}
    with as_owner():
        values |= {"received_at": NOW, "proven_at": NOW}
        made = Request.objects.create(person=user, **values | fields)
        for right in rights or (Right.ACCESS,):
            row = RequestedRight.objects.create(
                request=made,
                right=right,
                state=RequestedRight.State.ASSESS,
                promised_on=NOW.date() + timedelta(days=30),
                due_on=NOW.date() + timedelta(days=30),
            )
            Step.objects.create(right=row, kind=Step.Kind.RECEIVED, by=Step.By.PERSON, at=NOW)
    return made


def forwarded_to(organisation: Organisation, **fields: Any) -> ForwardedRequest:
    """A request of Erik's, received at NOW and passed on to an organisation at once."""
    row_id = uuid4()
    content = json.dumps({"address": "erik@modtager.example", "words": "Alt om mig."}).encode()
    values: dict[str, Any] = {
        "rights": [Right.ACCESS],
        "language": "da",
        "address_hash": organisation.id.bytes,
        "received_at": NOW,
        "forwarded_at": NOW,
        "promised_on": NOW.date() + timedelta(days=30),
        "due_on": NOW.date() + timedelta(days=31),
    }
    with as_owner():
        sealed = vault.seal(f"forwarded-request|{row_id}", content, organisation_id=organisation.id)
        return ForwardedRequest.objects.create(
            id=row_id,
            organisation=organisation,
            enquiry_id=uuid4(),
            sealed=sealed,
            **values | fields,
        )


def claim_of(claimant: User | None, *rights: Right, **fields: Any) -> Claim:
    """An unproven request in somebody's name, as staff entered it; what it says of them is real."""
    values = {"channel": Request.Channel.STAFF, "language": "da", "received_at": NOW}
    with as_owner():
        made = Request.objects.create(**values)
        for right in rights or (Right.ACCESS,):
            RequestedRight.objects.create(
                request=made,
                right=right,
                state=RequestedRight.State.IDENTITY,
                promised_on=NOW.date() + timedelta(days=30),
                due_on=NOW.date() + timedelta(days=30),
            )
        sealed = vault.seal(f"claim|{made.pk}", b"Anna, by phone")
        return Claim.objects.create(request=made, claimant=claimant, sealed=sealed, **fields)


def _dpa_rows(organisation: Organisation, user: User) -> None:
    made = agreement(organisation, signatory=user)
    AgreementEvent.objects.create(
        organisation=organisation,
        agreement=made,
        sequence=1,
        at=NOW,
        act=AgreementEvent.Act.OFFERED,
        evidence=[],
        previous_digest=b"",
        digest=b"x",
    )
    member_of = Membership.objects.get(organisation=organisation, user=user)
    Signatory.objects.create(organisation=organisation, membership=member_of, named_at=NOW)


def package_of(request: Request, **fields: Any) -> Package:
    """The order of a package for a request with one right; its key is real."""
    assert request.person_id
    with as_owner():
        made = Package(right=request.rights.get(), person_id=request.person_id, created_at=NOW)
        made.sealed_key = vault.seal(f"package|{made.id}", secrets.token_bytes(32))
        for name, value in fields.items():
            setattr(made, name, value)
        made.save(force_insert=True)
    return made


def letter_of(right: RequestedRight, content: bytes = b"%PDF-1.7") -> Letter:
    """A sealed letter that went out at NOW."""
    made = Letter(right=right, kind="refused", language="da", issued_at=NOW)
    made.sealed, made.sha256 = vault.seal(f"letter|{made.id}", content), sha256(content).hexdigest()
    with as_owner():
        made.save(force_insert=True)
    return made


def _gdpr_rows(user: User) -> None:
    asked = request_of(user)
    right = asked.rights.get()
    made = Erasure.objects.create(right=right, language="da", asked_at=NOW, due_at=NOW)
    ErasureSubject.objects.create(erasure=made, sealed=b"x")
    ErasureStep.objects.create(erasure=made, position=0, name="ledger")
    HeldRow.objects.create(erasure=made, model="dpa.Agreement", key="1", law="limitation")
    LedgerEntry.objects.create(
        erasure_id=made.id,
        person_digest=b"x",
        entered_at=NOW,
        until_on=NOW.date(),
    )
    package_of(asked, state=Package.State.READY, made_at=NOW, expires_at=NOW)
    Correction.objects.create(right=right, value="x")
    Release.objects.create(person=user, address="erik@modtager.example", reason="x", decided_at=NOW)
    Import.objects.create(person=user, records=[], made_at=NOW, taken_at=NOW)
    letter_of(right)
    claim_of(user)
    Approval.objects.create(
        what=Approval.What.ERASURE, subject_id=right.id, asked_at=NOW, asked_by=user
    )
    PersonRestriction.objects.create(
        person=user, ground=PersonRestriction.Ground.CLAIMS, restricted_at=NOW, lifted_at=NOW
    )
    host = supplier(f"Værtshuset {user.pk}")
    host.save()
    Notice.objects.create(
        person=user,
        recipient=host,
        change=Notice.Change.RECTIFIED,
        cause_id=right.pk,
        opened_at=NOW,
    )


def address_erasure(organisation: Organisation, **fields: Any) -> AddressErasure:
    """An erasure of an address that has been asked for, with its certificate already: junk."""
    values: dict[str, Any] = {"language": "da", "asked_at": NOW, "due_at": NOW, "step": "ledger"}
    values |= {"waiting": AddressErasure.Waiting.CANCEL, "certificate": b"%PDF-"}
    with as_owner():
        row = AddressErasure(organisation=organisation, **values | fields)
        subject.seal(row, "erik@modtager.example")
        row.save()
    return row


def address_package(organisation: Organisation, **fields: Any) -> AddressPackage:
    """The order of a package about an address; its key is real."""
    values: dict[str, Any] = {"language": "da", "created_at": NOW, "due_at": NOW}
    with as_owner():
        row = AddressPackage(organisation=organisation, **values | fields)
        subject.seal(row, "erik@modtager.example")
        key, purpose = secrets.token_bytes(32), f"addresspackage-key|{row.pk}"
        row.sealed_key = vault.seal(purpose, key, organisation_id=organisation.pk)
        row.save()
    return row
