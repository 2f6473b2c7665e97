# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an agreement is filled with. No figure is written here: each is read where it is enforced.

Facts are plain JSON: they are stored with the agreement and enclosed in its PDF.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils.formats import date_format, number_format
from django.utils.translation import override

from accounts import keyfiles, limits, passwords, stepup
from accounts.audit import events
from accounts.models import Membership, Organisation, Role, User, organisations
from dpa import processing, terms
from dpa.annexes import MEASURES, STATED
from dpa.processing import Facts as Facts
from dpa.references import annex_names, laws, points
from dpa.texts import Text
from gdpr import breaches, recipients
from gdpr.deadlines import day_of
from relay import hourkeys
from relay.models import LogChoice, messages
from relay.smtp.tls import MINIMUM_VERSION

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
    contact: User,
    number: int,
    identifier: UUID,
    now: datetime,
) -> Facts:
    """Return the facts of a version that this person is to sign, and `contact` is written to."""
    of_the_version = {
        "schema": SCHEMA,
        "id": str(identifier),
        "number": number,
        "issued_at": now.isoformat(timespec="seconds"),
        "signatory": {"name": _line(signatory.get_full_name()), "title": _line(signatory.title)},
        "contacts": {"controller": _person(contact), "processor": _privacy_desk()},
        "choices": _choices(organisation),
    }
    return _plain(of_the_version) | terms_now(organisation, text, now)


def terms_now(organisation: Organisation, text: Text, now: datetime) -> Facts:
    """Return what an agreement issued now would say that two versions can differ in."""
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
            "processing": processing.tables(),
            "subprocessors": processing.subprocessors(day_of(now)),
            "measures": list(MEASURES),
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


def digest(facts: Facts) -> str:
    """Return the SHA-256 (hex) of facts as they are enclosed."""
    return sha256(canonical(facts)).hexdigest()


def terms_digest(facts: Facts) -> str:
    return sha256(canonical(terms_of(facts))).hexdigest()


def values(facts: Facts, text: Text) -> Mapping[str, Any]:
    """Return what fills the places of the text."""
    with override(text.language):
        return {
            **facts,
            "law": laws(),
            "annex": annex_names(),
            "ref": points(text.points),
            "rate": _rate(facts),
            "main_agreement_on": _written(facts["controller"]["customer_since"]),
            "transfers": _transfers(facts),
            "outside_eea": _transfers(facts) or facts["processor"]["country"] not in recipients.EEA,
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
        "customer_since": day_of(organisation.created_at).isoformat(),
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


def contact_of(organisation: Organisation) -> User:
    """Return the person responsible: who has owned the organisation longest."""
    owners = Membership.objects.for_organisation(organisation.id).filter(
        role=Role.OWNER, approved_at__isnull=False
    )
    row = owners.select_related("user").order_by("created_at").first()
    assert row is not None, "an organisation that is not leaving has an owner"
    return row.user


def _person(user: User) -> Facts:
    return {"name": _line(user.get_full_name()), "email": user.email, "phone": ""}


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
        "review_days": recipients.REVIEW_DAYS,
        "assistance_days": terms.ASSISTANCE_DAYS,
        "amendment_days": terms.AMENDMENT_DAYS,
        "deletion_days": terms.DELETION_DAYS,
        "backup_days": settings.BACKUP_DAYS,
    }


def _figures() -> Facts:
    tries, seconds = limits.SIGN_IN_PERSON.windows[0]
    tries_address, seconds_address = limits.SIGN_IN_ADDRESS.windows[0]
    return {
        "log_days": messages.LOG_DAYS,
        "queue_hours_longest": organisations.QUEUE_HOURS_MAX,
        "key_hours_longest": hourkeys.longest_hours(),
        "tls_minimum": MINIMUM_VERSION.name.replace("TLSv", "TLS ").replace("_", "."),
        "key_bits": keyfiles.KEY_OCTETS * 8,
        "password_length": passwords.required_length(),
        "password_digits": passwords.PASSWORD_FLOOR_DIGITS,
        "password_hash": f"Argon2{Argon2PasswordHasher().params().type.name.lower()}",
        "step_up_minutes": stepup.FRESH // timedelta(minutes=1),
        "sign_in_tries": tries,
        "sign_in_minutes": seconds // limits.MINUTE,
        "sign_in_tries_address": tries_address,
        "sign_in_minutes_address": seconds_address // limits.MINUTE,
        "audit_days": events.AUDIT_DAYS,
        "submission_encrypted": not settings.RELAY_ALLOW_PLAINTEXT_AUTH,
        "portal_encrypted": settings.SECURE_COOKIES,
    }


def _choices(organisation: Organisation) -> Facts:
    choice = LogChoice.objects.for_organisation(organisation.id).first() or LogChoice()
    logged = {"log_profile": choice.profile, "log_days": choice.days}
    return {
        "queue_hours": organisation.queue_lifetime_hours,
        "second_factor_required": organisation.second_factor_required,
        **logged,
    }


def _statements() -> Facts:
    by, on = settings.OPERATOR_STATEMENTS_BY, settings.OPERATOR_STATEMENTS_ON
    return {"by": by, "on": on, "measures": list(STATED)} if by and on else {}


def _transfers(facts: Facts) -> bool:
    """Return whether a sub-processor is outside the EEA (GDPR chapter V)."""
    return any(row["country"] not in recipients.EEA for row in facts["subprocessors"])


def _stated(statements: Facts) -> Facts:
    if not statements:
        return {}
    return statements | {"on": _written(statements["on"])}


def _written(day: str) -> str:
    """Return a day that stands in ISO form, written out in the active language."""
    return date_format(date.fromisoformat(day), "DATE_FORMAT")


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
