# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing in with e-mail address and password: one answer, in one time, for every refusal."""

from __future__ import annotations

import secrets
from functools import lru_cache
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.hashers import check_password, make_password
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, emails, limits, stepup, vault
from accounts.addresses import normalised
from accounts.models import Session, TOTPDevice, User
from accounts.refusals import Refused
from accounts.sessions import stored_key
from accounts.tenancy import person_context

BACKEND = "django.contrib.auth.backends.ModelBackend"
BROWSER_COOKIE = "browser"
BROWSER_SECONDS = 365 * 24 * 3600
PEOPLE_PER_BROWSER = 5


class SignInRefused(Refused):
    # The same for an unknown address, a wrong password, an unconfirmed and a closed account.
    text: Promise = _("E-mail address or password is wrong.")


def authenticate(email: str, password: str, *, address: str) -> User:
    """Return the person whose password this is. Raises SignInRefused, limits.TooMany.

    `address` is the network address of the client. An unknown person costs the same queries and
    the same Argon2 work as a known one.
    """
    limits.check_address(limits.SIGN_IN_ADDRESS, address)
    limits.check(limits.SIGN_IN_PERSON, normalised(email))
    user = find_person(email)
    if not _is_password_of(user, password):
        raise SignInRefused
    if user is None or not user.is_active or user.confirmed_at is None:
        raise SignInRefused
    return user


def find_person(email: str) -> User | None:
    """Return the person with this address; the same queries run when there is none."""
    person_id = person_for_email(email) or uuid4()
    with person_context(person_id):
        return User.objects.filter(pk=person_id).first()


def person_for_email(email: str) -> UUID | None:
    """Return the id of the person with this address, before any context is open."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_person_for_email(%s)", [normalised(email)])
        found: UUID | None = cursor.fetchone()[0]
    return found


def check_own_password(user: User, password: str) -> None:
    """Check the password of the person who is signed in. Raises SignInRefused, limits.TooMany."""
    limits.check(limits.SIGN_IN_PERSON, user.email)
    if not _is_password_of(user, password):
        raise SignInRefused


def _is_password_of(user: User | None, password: str) -> bool:
    # Made before it is known whether it is needed: the first one costs a hash of its own.
    stand_in = _stand_in()
    return check_password(password, user.password if user else stand_in) and user is not None


@lru_cache(maxsize=1)
def _stand_in() -> str:
    """Return a hash that nobody has the password of, to do the work of a check with."""
    return make_password(secrets.token_urlsafe())


def sign_in(request: HttpRequest, user: User) -> None:
    """Open the session of a person whose password was checked; its id changes."""
    with person_context(user.id):
        is_first = user.last_login is None
        login(request, user, backend=BACKEND)
        if not TOTPDevice.objects.filter(user=user, confirmed=True).exists():
            stepup.note(request, stepup.PASSWORD)
        if not is_first and not _is_known_browser(request, user):
            emails.new_browser(user, clock.now())
        audit.record_installation(user, "person.signed-in", user)


def end_sessions(user_id: UUID, *, keep: str | None = None) -> int:
    """End a person's sessions in every browser but the one with the key `keep`."""
    count, _ = (
        Session.objects.filter(user_id=user_id).exclude(session_key=stored_key(keep)).delete()
    )
    return count


def remember_browser(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser prove next time that this person has used it; no tracking, only a hash."""
    assert isinstance(request.user, User)
    marks = [_mark(request.user.id), *_marks(request)]
    value = ".".join(list(dict.fromkeys(marks))[:PEOPLE_PER_BROWSER])
    response.set_signed_cookie(
        BROWSER_COOKIE,
        value,
        max_age=BROWSER_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _is_known_browser(request: HttpRequest, user: User) -> bool:
    return _mark(user.id) in _marks(request)


def _marks(request: HttpRequest) -> list[str]:
    value = request.get_signed_cookie(BROWSER_COOKIE, default="", max_age=BROWSER_SECONDS)
    return value.split(".") if value else []


def _mark(person_id: UUID) -> str:
    return vault.keyed_hash("browser", person_id.bytes)[:12].hex()
