# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may open each page: the table that the walk over all addresses is held against.

A new page is a new line here; without one the walk fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from accounts.ids import uuid7, uuid7_time
from accounts.models import Invitation, Organisation, Role, User
from dpa.models import Signatory
from gdpr.correspondents import packages
from gdpr.models import Right
from gdpr.views import correspondents
from relay.models import (
    Credential,
    Delivery,
    DkimKey,
    Message,
    QueuedDelivery,
    Restriction,
    Review,
    Route,
    SendingDomain,
    Suppression,
)
from tests import build

ALL = frozenset(Role)
KEEPERS = frozenset({Role.OWNER, Role.ADMIN})
BUILDERS = KEEPERS | {Role.DEVELOPER}
READERS = BUILDERS | {Role.VIEWER}

# Open to everybody: health, ways in, and links from mails, which carry their own proof.
PUBLIC = frozenset(
    {
        "healthz",
        "readyz",
        "esp-hook",
        "home",
        "relay:help-smtp",
        "gdpr:privacy",
        "gdpr:retention",
        "gdpr:recipients",
        "accounts:sign-up",
        "accounts:sign-up-sent",
        "accounts:sign-up-confirm",
        "accounts:consent-confirm",
        "accounts:consent-end",
        "accounts:invitation",
        "accounts:sign-in",
        "accounts:sign-out",
        "accounts:password-reset",
        "accounts:password-reset-sent",
        "accounts:password-reset-confirm",
        "dpa:verify",
        "dpa:trust-root",
        "dpa:schema",
        "gdpr:portability-schema",
        "gdpr:manifest-schema",
        "gdpr:erasure-cancel-link",
        "gdpr:address-confirm",
        "gdpr:enquiry",
        "gdpr:enquiry-sent",
        "gdpr:enquiry-confirm",
        "gdpr:enquiry-own",
        "gdpr:identity-confirm",
        "gdpr:certificate",
        "gdpr:certificate-pdf",
        "gdpr:completion-pdf",
    }
)

# Open to who is signed in, whatever their organisation: only about themselves.
PERSON = frozenset(
    {
        "accounts:password-change",
        "accounts:second-factor",
        "accounts:second-factor-enrol",
        "accounts:second-factor-remove",
        "accounts:backup-codes-renew",
        "accounts:step-up",
        "accounts:profile",
        "accounts:consents",
        "accounts:security",
        "accounts:sessions-end",
        "accounts:organisations",
        "accounts:organisation-found",
        "gdpr:requests",
        "gdpr:request-new",
        "gdpr:correction",
        "gdpr:import",
        "gdpr:import-plan",
        "gdpr:import-discard",
        "gdpr:restriction",
        "gdpr:restriction-ask",
        "gdpr:restriction-end",
        "gdpr:objection",
        "gdpr:told",
        "gdpr:erasure",
        "gdpr:erasure-ask",
        "gdpr:erasure-cancel",
    }
)


def a_request(person: User) -> tuple[object, ...]:
    return (build.request_of(person, Right.PORTABILITY).id,)


def a_requested_right(person: User) -> tuple[object, ...]:
    return (*a_request(person), Right.PORTABILITY)


def a_package(person: User) -> tuple[object, ...]:
    """A package that is not made yet: what fetches it is tried where there is a file."""
    asked = build.request_of(person, Right.PORTABILITY)
    return asked.id, build.package_of(asked).id


def a_letter(person: User) -> tuple[object, ...]:
    asked = build.request_of(person, Right.PORTABILITY)
    with build.as_owner():
        return asked.id, build.letter_of(asked.rights.get()).id


# About one person's own rows: who opens them, and what stands in the address.
OWN: dict[str, Callable[[User], tuple[object, ...]]] = {
    "gdpr:request": a_request,
    "gdpr:request-answer": a_requested_right,
    "gdpr:request-withdraw": a_requested_right,
    "gdpr:letter": a_letter,
    "gdpr:second-look": a_requested_right,
    "gdpr:package": a_package,
    "gdpr:package-end": a_package,
}


def a_invitation(organisation: Organisation) -> UUID:
    return Invitation.objects.create(
        organisation=organisation,
        email="ida@inviteret.example",
        role=Role.VIEWER,
        token_hash=uuid4().bytes,
        created_at=build.NOW,
        expires_at=build.NOW + timedelta(days=7),
    ).id


def a_waiting_member(organisation: Organisation) -> UUID:
    """A membership that no owner has approved."""
    person = build.person("Ida", f"Venter{uuid4().hex}")
    return build.member(organisation, person, Role.VIEWER, approved_at=None).id


def a_credential(organisation: Organisation) -> UUID:
    username = uuid4().hex[:20]
    values = {"name": "Butik", "username": username, "secret_hash": b"x", "created_at": build.NOW}
    return Credential.objects.create(organisation=organisation, **values).id


def a_domain(organisation: Organisation) -> UUID:
    name = f"{uuid4().hex}.example"
    row = SendingDomain(organisation=organisation, name=name, token="x", created_at=build.NOW)
    row.save()
    return row.id


def a_key(organisation: Organisation) -> UUID:
    """A signing key that waits for its record."""
    values = {"selector": uuid4().hex[:10], "algorithm": "rsa", "public": "QUJD"}
    row = DkimKey(domain_id=a_domain(organisation), organisation=organisation, **values)
    row.created_at = build.NOW
    row.save()
    return row.id


def a_route(organisation: Organisation) -> UUID:
    values = {"name": "Server", "host": "mail.example", "created_at": build.NOW}
    return Route.objects.create(organisation=organisation, **values).id


def a_suppression(organisation: Organisation) -> UUID:
    return Suppression.objects.create(
        organisation=organisation,
        address_hash=uuid4().bytes * 2,
        address="nej@tak.example",
        reason=Suppression.Reason.BY_PERSON,
        created_at=build.NOW,
    ).id


def a_restriction(organisation: Organisation) -> UUID:
    return Restriction.objects.create(
        organisation=organisation,
        address_hash=uuid4().bytes * 2,
        address="vent@tak.example",
        ground=Restriction.Ground.ACCURACY,
        restricted_at=build.NOW,
    ).id


def a_review(organisation: Organisation) -> UUID:
    name = f"{uuid4().hex}.example"
    return Review.objects.create(
        organisation=organisation, domain=name, opened_at=build.NOW, done=400, hard=40
    ).id


def a_provider(organisation: Organisation) -> UUID:
    """A route through a provider's account."""
    values = {"name": "Provider", "kind": "esp", "provider": "brevo", "sealed_secret": b"x"}
    return Route.objects.create(organisation=organisation, created_at=build.NOW, **values).id


def a_message(organisation: Organisation) -> UUID:
    message = uuid7(datetime.now(UTC) - timedelta(minutes=1))
    of = {"organisation": organisation, "accepted_at": uuid7_time(message)}
    Message.objects.create(**of, id=message, sender="a@due.example", size=1, recipients=1)
    Delivery.objects.create(**of, message_id=message, position=0, recipient="erik@modtager.example")
    return message


def a_waiting_message(organisation: Organisation) -> UUID:
    """A message that is in the queue as well."""
    message, now = a_message(organisation), datetime.now(UTC)
    QueuedDelivery.objects.create(
        organisation=organisation,
        message_id=message,
        accepted_at=uuid7_time(message),
        position=0,
        recipient="erik@modtager.example",
        due_at=now + timedelta(hours=1),
        expires_at=now + timedelta(hours=72),
    )
    return message


def a_agreement(organisation: Organisation) -> UUID:
    """A version of an agreement that was issued and then withdrawn."""
    return build.agreement(organisation).id


def a_signatory(organisation: Organisation) -> UUID:
    person = build.person("Ida", f"Skriver{uuid4().hex}")
    member = build.member(organisation, person, Role.VIEWER)
    row = Signatory(organisation=organisation, membership=member, named_at=build.NOW)
    row.save()
    return row.id


def a_forwarded_request(organisation: Organisation) -> UUID:
    return build.forwarded_to(organisation).id


def a_address(organisation: Organisation) -> str:
    """An address as it stands in the address of a page: sealed for the organisation."""
    return correspondents.sealed(organisation.id, "erik@modtager.example")


def a_address_package(organisation: Organisation) -> UUID:
    """A package that can be fetched: it holds nothing."""
    until = datetime.now(UTC) + timedelta(days=1)
    row = build.address_package(organisation, state="ready", made_at=build.NOW, expires_at=until)
    with packages.writer(row) as out:
        out.finish()
    return row.id


def a_address_erasure(organisation: Organisation) -> UUID:
    return build.address_erasure(organisation).id


@dataclass(frozen=True, slots=True)
class Place:
    """Which roles open a page, and which row of the organisation it is about, if any."""

    roles: frozenset[Role]
    row: Callable[[Organisation], UUID | str] | None = None


MEMBER = {
    "accounts:organisation": Place(KEEPERS),
    "proof": Place(ALL),
    "accounts:organisation-close": Place(frozenset({Role.OWNER})),
    "accounts:team": Place(ALL),
    "accounts:invite": Place(KEEPERS),
    "accounts:invitation-withdraw": Place(KEEPERS, a_invitation),
    "accounts:invitation-resend": Place(KEEPERS, a_invitation),
    "accounts:member-approve": Place(frozenset({Role.OWNER}), a_waiting_member),
    "accounts:member-refuse": Place(frozenset({Role.OWNER}), a_waiting_member),
    "accounts:member-role": Place(KEEPERS, a_waiting_member),
    "accounts:member-remove": Place(KEEPERS, a_waiting_member),
    "accounts:audit-trail": Place(KEEPERS | {Role.PRIVACY}),
    "gdpr:inbox": Place(KEEPERS | {Role.PRIVACY}),
    "gdpr:inbox-request": Place(KEEPERS | {Role.PRIVACY}, a_forwarded_request),
    "dpa:agreements": Place(KEEPERS | {Role.PRIVACY}),
    "dpa:draft": Place(KEEPERS | {Role.PRIVACY}),
    "dpa:issue": Place(frozenset({Role.OWNER})),
    "dpa:agreement": Place(KEEPERS | {Role.PRIVACY}, a_agreement),
    "dpa:document": Place(KEEPERS | {Role.PRIVACY}, a_agreement),
    "dpa:sign": Place(frozenset({Role.OWNER}), a_agreement),
    "dpa:withdraw": Place(frozenset({Role.OWNER}), a_agreement),
    "dpa:signatories": Place(frozenset({Role.OWNER})),
    "dpa:signatory-withdraw": Place(frozenset({Role.OWNER}), a_signatory),
    "gdpr:correspondents": Place(KEEPERS | {Role.PRIVACY}),
    "gdpr:correspondent": Place(KEEPERS | {Role.PRIVACY}, a_address),
    "gdpr:correspondent-export": Place(KEEPERS | {Role.PRIVACY}, a_address),
    "gdpr:correspondent-erase": Place(KEEPERS | {Role.PRIVACY}, a_address),
    "gdpr:correspondent-suppress": Place(KEEPERS | {Role.PRIVACY}, a_address),
    "gdpr:correspondent-restrict": Place(KEEPERS | {Role.PRIVACY}, a_address),
    "gdpr:correspondent-package": Place(KEEPERS | {Role.PRIVACY}, a_address_package),
    "gdpr:correspondent-package-end": Place(KEEPERS | {Role.PRIVACY}, a_address_package),
    "gdpr:correspondent-erasure": Place(KEEPERS | {Role.PRIVACY}, a_address_erasure),
    "gdpr:correspondent-certificate": Place(KEEPERS | {Role.PRIVACY}, a_address_erasure),
    "relay:suppressions": Place(READERS),
    "relay:suppression-new": Place(BUILDERS),
    "relay:suppressions-import": Place(BUILDERS),
    "relay:suppressions-export": Place(BUILDERS),
    "relay:suppression-remove": Place(BUILDERS, a_suppression),
    "relay:restrictions": Place(KEEPERS | {Role.PRIVACY}),
    "relay:restriction-new": Place(KEEPERS | {Role.PRIVACY}),
    "relay:restriction-lift": Place(KEEPERS | {Role.PRIVACY}, a_restriction),
    "relay:statistics": Place(READERS),
    "relay:statistics-download": Place(READERS),
    "relay:review": Place(READERS, a_review),
    "gdpr:review-ask": Place(BUILDERS, a_review),
    "relay:log": Place(READERS),
    "relay:log-settings": Place(KEEPERS),
    "relay:log-download": Place(READERS),
    "relay:message": Place(READERS, a_message),
    "relay:waiting": Place(READERS),
    "relay:retry-all": Place(BUILDERS),
    "relay:hold-all": Place(BUILDERS),
    "relay:release-all": Place(BUILDERS),
    "relay:cancel-all": Place(BUILDERS),
    "relay:retry": Place(BUILDERS, a_waiting_message),
    "relay:hold": Place(BUILDERS, a_waiting_message),
    "relay:release": Place(BUILDERS, a_waiting_message),
    "relay:cancel": Place(BUILDERS, a_waiting_message),
    "relay:credentials": Place(READERS),
    "relay:credential-new": Place(BUILDERS),
    "relay:credential": Place(READERS, a_credential),
    "relay:credential-edit": Place(BUILDERS, a_credential),
    "relay:credential-block": Place(BUILDERS, a_credential),
    "relay:credential-unblock": Place(BUILDERS, a_credential),
    "relay:credential-revoke": Place(BUILDERS, a_credential),
    "relay:domains": Place(READERS),
    "relay:domain-new": Place(BUILDERS),
    "relay:domain": Place(READERS, a_domain),
    "relay:domain-verify": Place(BUILDERS, a_domain),
    "relay:domain-remove": Place(BUILDERS, a_domain),
    "relay:domain-keys": Place(BUILDERS, a_domain),
    "relay:key-retire": Place(BUILDERS, a_key),
    "relay:key-remove": Place(BUILDERS, a_key),
    "relay:routes": Place(READERS),
    "relay:route-new": Place(BUILDERS),
    "relay:direct-new": Place(BUILDERS),
    "relay:route": Place(READERS, a_route),
    "relay:route-edit": Place(BUILDERS, a_route),
    "relay:route-order": Place(BUILDERS, a_route),
    "relay:route-test": Place(BUILDERS, a_route),
    "relay:route-pause": Place(BUILDERS, a_route),
    "relay:route-resume": Place(BUILDERS, a_route),
    "relay:route-remove": Place(BUILDERS, a_route),
    "relay:provider-new": Place(BUILDERS),
    "relay:provider-edit": Place(BUILDERS, a_provider),
    "relay:route-hook": Place(BUILDERS, a_provider),
}

# About an organisation, but guarded by itself: a person chooses among their own.
CHOICE = "accounts:organisation-choose"
