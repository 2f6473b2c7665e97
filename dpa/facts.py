# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an agreement is filled with. No figure is written here: each is read where it is enforced.

Facts are plain JSON: they are stored with the agreement and enclosed in its PDF.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.formats import date_format, number_format
from django.utils.translation import override

from accounts import audit, keyfiles, limits, passwords, stepup
from accounts.models import Membership, Organisation, Role, User
from accounts.models.organisations import QUEUE_HOURS_MAX
from dpa import terms
from dpa.annexes import ENFORCED, STATED
from dpa.references import annexes, laws, points
from dpa.texts import Text
from gdpr import breaches, inventory, recipients
from gdpr.deadlines import day_of
from gdpr.models.recipients import SERVICES, Recipient
from gdpr.registry import Entry, Purpose
from gdpr.registry import Role as ProcessingRole
from relay import hourkeys
from relay.models.messages import LOG_DAYS
from relay.smtp.tls import MINIMUM_VERSION

Facts = dict[str, Any]

SCHEMA = "agreement-1"
# What two versions may differ in without the parties having agreed on anything else: which version
# it is, who is to be written to, and what the customer sets in the portal (an instruction).
OF_THE_VERSION = frozenset(
    {"schema", "id", "number", "issued_at", "signatory", "contacts", "choices"}
)


def gather(
    organisation: Organisation,
    signatory: User,
    text: Text,
    *,
    number: int,
    identifier: UUID,
    now: datetime,
) -> Facts:
    """Return the facts of a version that this person is to sign. Runs in the tenant's context."""
    of_the_version = {
        "schema": SCHEMA,
        "id": str(identifier),
        "number": number,
        "issued_at": now.isoformat(timespec="seconds"),
        "signatory": {"name": _line(signatory.get_full_name()), "title": _line(signatory.title)},
        "contacts": {"controller": _owner(organisation), "processor": _privacy_desk()},
        "choices": _choices(organisation),
    }
    return _plain(of_the_version) | terms_now(organisation, text, now)


def terms_now(organisation: Organisation, text: Text, now: datetime) -> Facts:
    """Return what an agreement issued now would say that two versions can differ in."""
    with override(text.language):
        return _plain(
            {
                "text": {
                    "language": text.language,
                    "version": text.version,
                    "digest": text.digest,
                },
                "controller": _controller(organisation),
                "processor": _processor(),
                "court": settings.AGREEMENT_COURT,
                "periods": _periods(),
                "rate": {"hour": settings.ASSISTANCE_HOURLY_RATE, "vat": settings.VAT_PERCENT},
                "figures": _figures(),
                "processing": _processing(),
                "subprocessors": _subprocessors(day_of(now)),
                "measures": list(ENFORCED),
                "statements": _statements(),
            }
        )


def terms_of(facts: Facts) -> Facts:
    """Return what the parties have agreed on: all but what a version may differ in by itself."""
    return {name: value for name, value in facts.items() if name not in OF_THE_VERSION}


def differences(signed: Facts, now: Facts) -> list[str]:
    """Return the names of the parts in which two versions' terms differ."""
    before, after = terms_of(signed), terms_of(now)
    return [name for name in after if before.get(name) != after[name]]


def canonical(facts: Facts) -> bytes:
    """Return facts as the octets that are hashed and enclosed."""
    return json.dumps(facts, ensure_ascii=False, sort_keys=True, indent=1).encode()


def terms_digest(facts: Facts) -> str:
    return sha256(canonical(terms_of(facts))).hexdigest()


def values(facts: Facts, text: Text) -> Mapping[str, Any]:
    """Return what fills the places of the text."""
    language = text.language
    with override(language):
        return {
            **facts,
            "law": laws(language),
            "annex": annexes(language),
            "ref": points(language, text.points),
            "rate": _rate(facts),
            "outside_eea": _outside_eea(facts),
            "statements": _stated(facts["statements"]),
        }


def issued_on(facts: Facts) -> str:
    """Return the day of issue (in Copenhagen), written out in the active language."""
    return date_format(day_of(datetime.fromisoformat(facts["issued_at"])), "DATE_FORMAT")


def _controller(organisation: Organisation) -> Facts:
    return {
        "name": _line(organisation.name),
        "address": _line(organisation.address),
        "postcode": _line(organisation.postcode),
        "city": _line(organisation.city),
        "country": organisation.country,
        "company_number": _line(organisation.vat_number),
    }


def _processor() -> Facts:
    return {
        "name": settings.OPERATOR_NAME,
        "address": settings.OPERATOR_ADDRESS,
        "postcode": settings.OPERATOR_POSTCODE,
        "city": settings.OPERATOR_CITY,
        "country": settings.OPERATOR_COUNTRY,
        "company_number": settings.OPERATOR_COMPANY_NUMBER,
    }


def _owner(organisation: Organisation) -> Facts:
    """Return the person responsible: who has owned the organisation longest."""
    owners = Membership.objects.for_organisation(organisation.id).filter(
        role=Role.OWNER, approved_at__isnull=False
    )
    row = owners.select_related("user").order_by("created_at").first()
    assert row is not None, "an organisation always has an owner"
    return {"name": _line(row.user.get_full_name()), "email": row.user.email, "phone": ""}


def _privacy_desk() -> Facts:
    return {
        "name": settings.PRIVACY_CONTACT,
        "email": settings.PRIVACY_EMAIL,
        "phone": settings.PRIVACY_PHONE,
    }


def _periods() -> Facts:
    return {
        "breach_hours": breaches.NOTICE_HOURS,
        "objection_days": settings.SUBPROCESSOR_OBJECTION_DAYS,
        "amendment_days": terms.AMENDMENT_DAYS,
        "deletion_days": terms.DELETION_DAYS,
        "backup_days": settings.BACKUP_DAYS,
    }


def _figures() -> Facts:
    tries, seconds = limits.SIGN_IN_PERSON.windows[0]
    return {
        "log_days": LOG_DAYS,
        "queue_hours_longest": QUEUE_HOURS_MAX,
        "key_hours_longest": QUEUE_HOURS_MAX + hourkeys.HOUR // timedelta(hours=1),
        "tls_minimum": MINIMUM_VERSION.name.replace("TLSv", "TLS ").replace("_", "."),
        "key_bits": keyfiles.KEY_OCTETS * 8,
        "password_length": passwords.required_length(),
        "password_digits": passwords.PASSWORD_FLOOR_DIGITS,
        "step_up_minutes": stepup.FRESH // timedelta(minutes=1),
        "sign_in_tries": tries,
        "sign_in_minutes": seconds // limits.MINUTE,
        "audit_days": audit.AUDIT_DAYS,
        "portal_encrypted": settings.SECURE_COOKIES,
    }


def _choices(organisation: Organisation) -> Facts:
    return {
        "queue_hours": organisation.queue_lifetime_hours,
        "second_factor_required": organisation.second_factor_required,
    }


def _processing() -> list[Facts]:
    """Return what is processed for customers, as the inventory says it."""
    entries = inventory.personal_entries()
    return [
        {
            "title": str(entry.title),
            "data": [str(field.what) for field in entry.personal],
            "persons": [str(whose.label) for whose in entry.whose],
            "kept": entry.keep.words if entry.keep else "",
        }
        for entry in entries
        if entry.role == ProcessingRole.PROCESSOR
    ]


def _subprocessors(on: date) -> list[Facts]:
    """Return the register's sub-processors on a day (EDPB Opinion 22/2024: the whole chain)."""
    return [_subprocessor(row) for row in recipients.subprocessors(on)]


def _subprocessor(row: Recipient) -> Facts:
    entries = [
        item for item in recipients.entries_for(row) if item.role is ProcessingRole.PROCESSOR
    ]
    fields = dict.fromkeys(str(field.what) for entry in entries for field in entry.personal)
    persons = dict.fromkeys(str(whose.label) for entry in entries for whose in entry.whose)
    labels = dict(SERVICES)
    return {
        "name": row.name,
        "company_number": row.company_number,
        "address": row.address,
        "country": row.country,
        "contact": row.contact,
        "subject": [str(labels[service]) for service in row.services],
        "purpose": [str(purpose.label) for purpose in _purposes(entries)],
        "duration": row.ends_on.isoformat() if row.ends_on else "",
        "data": list(fields),
        "persons": list(persons),
        "transfer": str(row.get_transfer_display()),
        "level": row.level,
        "engaged_by": row.engaged_by.name if row.engaged_by else "",
    }


def _purposes(entries: Iterable[Entry]) -> list[Purpose]:
    return list(dict.fromkeys(purpose for entry in entries for purpose in entry.purposes))


def _statements() -> Facts:
    by, on = settings.OPERATOR_STATEMENTS_BY, settings.OPERATOR_STATEMENTS_ON
    return {"by": by, "on": on, "measures": list(STATED)} if by and on else {}


def _outside_eea(facts: Facts) -> bool:
    return any(row["country"] not in recipients.EEA for row in facts["subprocessors"])


def _stated(statements: Facts) -> Facts:
    if not statements:
        return {}
    return statements | {"on": date_format(datetime.fromisoformat(statements["on"]), "DATE_FORMAT")}


def _rate(facts: Facts) -> Facts:
    hour, vat = Decimal(facts["rate"]["hour"]), Decimal(facts["rate"]["vat"])
    with_vat = hour * (100 + vat) / 100
    return {
        "hour": number_format(hour),
        "vat": number_format(vat),
        "hour_with_vat": number_format(with_vat, 2),
    }


def _line(words: str) -> str:
    """Return what a customer typed as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _plain(facts: Facts) -> Facts:
    """Return facts as they come back from JSON, so that what is stored compares equal."""
    plain: Facts = json.loads(json.dumps(facts))
    return plain
