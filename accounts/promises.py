# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about people's accounts, each with the control that keeps it and a live check."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import audit, passwords, staffsite
from accounts.models import User
from accounts.promise import Promise, Result

# What Django writes in front of a hash of this algorithm, and of no password at all.
HASHED_BY = ("argon2$", "!")
# Tables of a tenant, and their partitions, where the database does not hide the rows of others.
UNPROTECTED = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attname = 'organisation_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
    AND c.relnamespace = 'public'::regnamespace AND NOT c.relrowsecurity
ORDER BY c.relname
"""


def short_passwords_are_refused() -> Result:
    """Try one character too few, and one digit too few, on the validators in force."""
    length, digits = passwords.required_length(), passwords.PASSWORD_FLOOR_DIGITS
    letters = "qvxzjkwpbfmg"
    short = (letters * length)[: length - 1 - digits] + "7" * digits
    no_digits = (letters * length)[: length + 1 - digits] + "7" * (digits - 1)
    taken = [word for word in (short, no_digits) if not _is_refused(word)]
    return Result(holds=not taken, seen=f"{length} characters, {digits} digits")


def _is_refused(password: str) -> bool:
    try:
        validate_password(password)
    except ValidationError:
        return True
    return False


def staff_need_a_second_factor() -> Result:
    """Knock at the staff's pages as somebody who has shown a password only."""
    probe = User(is_active=True, is_staff=True)
    probe.is_verified = lambda: False  # type: ignore[attr-defined] # added by OTPMiddleware
    request = HttpRequest()
    request.user = probe
    return Result(
        holds=not staffsite.site.has_permission(request),
        seen=f"{User.objects.filter(is_staff=True, is_active=True).count()} people are staff",
    )


def passwords_are_hashed() -> Result:
    people = User.objects.count()
    hashed = sum(User.objects.filter(password__startswith=kind).count() for kind in HASHED_BY)
    return Result(holds=hashed == people, seen=f"{hashed} of {people} passwords")


def rows_of_others_are_hidden() -> Result:
    with connection.cursor() as cursor:
        cursor.execute(UNPROTECTED)
        names = [name for (name,) in cursor.fetchall()]
    return Result(holds=not names, seen=", ".join(names) or "every table of a customer")


def the_audit_trail_is_whole() -> Result:
    faults = audit.verify()
    return Result(holds=not faults, seen="; ".join(faults[:3]) or "every chain and anchor agrees")


PROMISES: tuple[Promise, ...] = (
    Promise(
        id="App 3.7",
        words=_("A password has at least the length and the digits that the agreement says."),
        control="accounts.passwords, AUTH_PASSWORD_VALIDATORS",
        switched_off_by="empty AUTH_PASSWORD_VALIDATORS",
        check=short_passwords_are_refused,
    ),
    Promise(
        id="G6a",
        words=_("Nobody reaches the staff's pages without a second factor."),
        control="accounts.staffsite",
        switched_off_by="let StaffSite.has_permission ask for a password only",
        check=staff_need_a_second_factor,
    ),
    Promise(
        id="S12",
        words=_("Passwords are stored as Argon2 hashes only."),
        control="PASSWORD_HASHERS",
        switched_off_by="store a password hashed by another algorithm",
        check=passwords_are_hashed,
    ),
    Promise(
        id="G3c",
        words=_("The database itself hides each customer's rows from all others."),
        control="row-level security, accounts.rowsecurity",
        switched_off_by="disable row-level security on one table",
        check=rows_of_others_are_hidden,
    ),
    Promise(
        id="App 3.9",
        words=_("Access and key events are recorded in a trail that nobody can change unseen."),
        control="accounts.audit",
        switched_off_by="change an event in the table",
        check=the_audit_trail_is_whole,
    ),
)
