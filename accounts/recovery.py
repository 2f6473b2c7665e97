# SPDX-License-Identifier: AGPL-3.0-or-later
"""Passwords: a forgotten one replaced by mail, a known one changed; other sessions end."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import timedelta
from hmac import compare_digest
from uuid import UUID, uuid4

from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, emails, limits, links, signin, vault
from accounts.addresses import normalised
from accounts.models import User
from accounts.refusals import Refused
from accounts.tenancy import person_context

LINK_PURPOSE = "password-reset"
LINK_LIFETIME = timedelta(hours=1)


class SamePassword(Refused):
    text: Promise = _("Choose a password that differs from the one you have.")


class _Nobody(Exception):
    """Undoes the mail that was written for nobody."""


def request_reset(email: str, *, address: str) -> None:
    """Send a link to choose a new password, if the address has an account.

    The same work is done when it has none, and undone. Raises limits.TooMany.
    """
    email = normalised(email)
    limits.check_address(limits.MAIL_FROM_ADDRESS, address)
    limits.check(limits.MAIL_TO_PERSON, email)
    user = signin.find_person(email)
    # The rollback is to a savepoint, so that both ways end in a commit that waits for the disk.
    with person_context(user.id if user else uuid4()), suppress(_Nobody), transaction.atomic():
        _write_mail(user or _stand_in(email))
        if user is None or not user.is_active:
            raise _Nobody


def _write_mail(user: User) -> None:
    values = {"person": str(user.id), "stamp": _stamp(user)}
    emails.password_reset(user, links.make(LINK_PURPOSE, values, clock.now() + LINK_LIFETIME))


def _stand_in(email: str) -> User:
    return User(id=uuid4(), email=email, language=get_language() or User.Language.DANISH)


def read_reset(token: str) -> User:
    """Return whose password it is about. Raises links.LinkInvalid, links.LinkExpired."""
    values = links.read(LINK_PURPOSE, token)
    person_id = UUID(values["person"])
    with person_context(person_id):
        user = User.objects.filter(pk=person_id, is_active=True).first()
    # A link is good for one change: the stamp is about the password that it replaces.
    if user is None or not compare_digest(_stamp(user), values["stamp"]):
        raise links.LinkExpired
    return user


def reset_password(token: str, new: str) -> None:
    """Set a password that the form has checked; every session of the person ends.

    Raises links.LinkInvalid, links.LinkExpired.
    """
    user = read_reset(token)
    with person_context(user.id):
        locked = User.objects.select_for_update().get(pk=user.pk)
        if _stamp(locked) != _stamp(user):
            raise links.LinkExpired
        # Whoever reads the mail owns the address.
        locked.confirmed_at = locked.confirmed_at or clock.now()
        _set(locked, new, "password.reset")
    signin.end_sessions(user.id)


def void_password(user: User) -> None:
    """Put a password in place that nobody knows: only a link by mail opens the account again."""
    user.must_change_password = False
    user.set_password(secrets.token_urlsafe())
    user.save(update_fields=["password", "must_change_password"])
    audit.record_installation(user, "password.voided", user, ["password"])
    signin.end_sessions(user.pk)


def change_password(request: HttpRequest, old: str, new: str) -> None:
    """Replace a password, or the code of the first sign-in; other browsers are signed out.

    `new` is checked by the form.
    Raises signin.SignInRefused, SamePassword, limits.TooMany.
    """
    assert isinstance(request.user, User)
    user = request.user
    signin.check_own_password(user, old)
    if new == old:
        raise SamePassword
    with person_context(user.id):
        _set(user, new, "password.changed")
        update_session_auth_hash(request, user)
        signin.end_sessions(user.id, keep=request.session.session_key)


def _set(user: User, new: str, act: str) -> None:
    was_code = user.must_change_password
    user.must_change_password = False
    user.set_password(new)
    user.save(update_fields=["password", "must_change_password", "confirmed_at"])
    if not was_code:
        emails.password_changed(user)
    audit.record_installation(user, act, user, ["password"])


def _stamp(user: User) -> str:
    line = f"{user.id}|{user.password}|{user.email}"
    return vault.keyed_hash("password-stamp", line.encode())[:12].hex()
