# SPDX-License-Identifier: AGPL-3.0-or-later
"""Making the demo's cast, or finding it again: what var/demo.json says stays true."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import signup, standing, vault
from accounts.models import Organisation, TOTPDevice, User
from config.demo.cast import CUSTOMER, OTHER, STAFF, Customer, Person
from relay import credentials
from relay.models import Credential, Route, SendingDomain

Facts = dict[str, Any]


def prepare(known: Facts, now: datetime) -> Facts:
    """Return the facts of the demo; `known` are those of the last time, whose secrets are kept."""
    customer = _customer(CUSTOMER, known, now)
    return {
        "web": settings.SITE_URL,
        **customer,
        "staff": {
            "url": f"{settings.SITE_URL}/staff/",
            **_person(STAFF, known.get("staff", {}), now, is_staff=True, is_superuser=True),
        },
        "other": _customer(OTHER, known.get("other", {}), now),
    }


@transaction.atomic
def _customer(customer: Customer, known: Facts, now: datetime) -> Facts:
    owner = _person(customer.owner, known.get("owner", {}), now)
    organisation = _organisation(customer)
    _domain(organisation, customer, now)
    _route(organisation, now)
    smtp = _credential(organisation, known.get("smtp", {}), now) | {"sender": customer.sender}
    return {"smtp": smtp, "owner": owner}


@transaction.atomic
def _person(person: Person, known: Facts, now: datetime, **rights: bool) -> Facts:
    """A person with password and second factor; both new when the known ones are no good."""
    user = User.objects.filter(email=person.email).first()
    if user and known.get("totp_secret") and user.check_password(known.get("password")):
        return {name: known[name] for name in ("email", "password", "totp_secret")}
    # The password rule asks for twelve characters with two digits.
    password = f"{secrets.token_urlsafe(12)}-27"
    names = {"first_name": person.first_name, "last_name": person.last_name}
    user = user or User(email=person.email, created_at=now, confirmed_at=now, **names, **rights)
    user.set_password(password)
    user.save()
    return {"email": person.email, "password": password, "totp_secret": _second_factor(user, now)}


def _second_factor(user: User, now: datetime) -> str:
    """Return the secret as authenticator apps take it: base32, 160 bits (RFC 4226, section 4)."""
    key = secrets.token_bytes(20)
    device = {"sealed_key": vault.seal(f"totp|{user.id}", key), "confirmed": True, "last_step": -1}
    TOTPDevice.objects.update_or_create(
        user=user, defaults=device, create_defaults=device | {"name": "Demo", "created_at": now}
    )
    return base64.b32encode(key).decode()


def _organisation(customer: Customer) -> Organisation:
    owner = User.objects.get(email=customer.owner.email)
    membership = owner.memberships.select_related("organisation").first()
    if membership:
        return membership.organisation
    organisation = signup.found_organisation(owner, customer.company)
    standing.allow_sending(organisation, Organisation.SendingReason.DEMONSTRATION, by=None)
    return organisation


def _domain(organisation: Organisation, customer: Customer, now: datetime) -> None:
    """Reserved names have no TXT record (RFC 2606), so the demo's count as verified."""
    SendingDomain.objects.for_organisation(organisation.id).get_or_create(
        organisation=organisation,
        name=customer.domain,
        defaults={
            "token": secrets.token_hex(16),
            "state": SendingDomain.State.VERIFIED,
            "reason": SendingDomain.Reason.DEVELOPMENT,
            "created_at": now,
            "verified_at": now,
        },
    )


def _route(organisation: Organisation, now: datetime) -> None:
    """A smarthost: the development mailbox, wherever its port is this time."""
    route, _ = Route.objects.for_organisation(organisation.id).get_or_create(
        organisation=organisation,
        name="Development mailbox",
        defaults={"host": "127.0.0.1", "port": settings.MAILBOX_PORT, "created_at": now},
    )
    if route.port != settings.MAILBOX_PORT:
        route.port = settings.MAILBOX_PORT
        route.version += 1
        route.save(update_fields=["port", "version"])


def _credential(organisation: Organisation, known: Facts, now: datetime) -> Facts:
    mine = Credential.objects.for_organisation(organisation.id).filter(revoked_at=None)
    if not known or not mine.filter(username=known["username"]).exists():
        # One whose secret nobody knows any more opens nothing, and gives its name back.
        mine.filter(name="Demo").update(revoked_at=now)
        issued = credentials.make(organisation.id, "Demo", now)
        known = {"username": issued.credential.username, "password": issued.secret}
    return {
        "host": settings.SMTP_HOST,
        "port": settings.SMTP_PORT,
        "tls_port": settings.SMTPS_PORT,
        "ca_file": "var/tls/ca.pem",
        "username": known["username"],
        "password": known["password"],
    }
