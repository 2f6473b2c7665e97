# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second factor: an authenticator app (TOTP, RFC 6238) and one-time backup codes.

Everything here is about `request.user` and runs in their context.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import django_otp
import segno
from django.db import transaction
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _text
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, emails, limits, signin, stepup, vault
from accounts.access import current_person
from accounts.models import BackupCode, BackupCodeDevice, Membership, TOTPDevice, User
from accounts.models.devices import code_hash, matching_step, totp_purpose
from accounts.passwords import new_code
from accounts.refusals import Refused

ISSUER = "Brevdue"
# RFC 4226, section 4, requirement 6 recommends 160 bits.
SECRET_OCTETS = 20
BACKUP_CODES = 10
BACKUP_CODE_GROUPS = 2
PENDING_KEY = "second_factor_enrolment"


class WrongToken(Refused):
    text: Promise = _("The code is wrong, too old or already used.")


class SecondFactorRequired(Refused):
    text: Promise = _("A second factor is required here; replace it instead of removing it.")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a person needs to set up an app: the key as text, and as a picture of its URI."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    svg: SafeString = field(repr=False)


def has_device(user: User) -> bool:
    return _app(user) is not None


def backup_codes_left(user: User) -> int:
    return BackupCode.objects.filter(user=user, used_at=None).count()


def enrolment(request: HttpRequest) -> Enrolment:
    """Return the key being set up, the same until it is confirmed. Raises StepUpNeeded.

    Until then it is only in the session, sealed: an app that works is not touched.
    """
    user = current_person(request)
    if has_device(user):
        stepup.demand(request)
    secret = _pending(request)
    if secret is None:
        secret = secrets.token_bytes(SECRET_OCTETS)
        sealed = vault.seal(_pending_purpose(user), secret)
        request.session[PENDING_KEY] = base64.b64encode(sealed).decode()
    return _shown(user, secret)


def confirm(request: HttpRequest, token: str) -> list[str]:
    """Take the new app into use when it gives the right value; return the backup codes.

    Raises WrongToken, limits.TooMany, StepUpNeeded.
    """
    user = current_person(request)
    if has_device(user):
        stepup.demand(request)
    limits.check(limits.SECOND_FACTOR, str(user.id))
    secret = _pending(request)
    step = matching_step(secret, token) if secret else None
    if secret is None or step is None:
        raise WrongToken
    with transaction.atomic():
        device = _replace_app(user, secret, step)
        codes = _replace_codes(user)
        _accept(request, device)
        del request.session[PENDING_KEY]
        _tell(user, "added")
    return codes


def verify(request: HttpRequest, token: str) -> None:
    """Let the person in with a value of the app or a backup code; the session's id changes.

    Raises WrongToken, limits.TooMany.
    """
    device = _check(current_person(request), token)
    _accept(request, device)
    audit.record_installation(current_person(request), "second-factor.verified", device)


def new_backup_codes(request: HttpRequest) -> list[str]:
    """Return fresh codes and void the old ones. Raises StepUpNeeded."""
    stepup.demand(request)
    with transaction.atomic():
        codes = _replace_codes(current_person(request))
        _tell(current_person(request), "codes")
    return codes


def remove(request: HttpRequest) -> None:
    """Do without a second factor. Raises StepUpNeeded, SecondFactorRequired."""
    user = current_person(request)
    if is_required(user):
        raise SecondFactorRequired
    stepup.demand(request)
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        BackupCodeDevice.objects.filter(user=user).delete()
        request.session.pop(django_otp.DEVICE_ID_SESSION_KEY, None)
        _tell(user, "removed")


def is_required(user: User) -> bool:
    """Return whether the person must have one: staff, or because an organisation asks for it."""
    memberships = Membership.objects.filter(user=user, approved_at__isnull=False)
    return user.is_staff or memberships.filter(organisation__second_factor_required=True).exists()


def step_up(request: HttpRequest, *, password: str = "", token: str = "") -> None:
    """Prove again who one is: with the second factor where there is one, else the password.

    Raises WrongToken, signin.SignInRefused, limits.TooMany.
    """
    user = current_person(request)
    if has_device(user):
        _check(user, token)
        stepup.note(request, stepup.SECOND_FACTOR)
    else:
        signin.check_own_password(user, password)
        stepup.note(request, stepup.PASSWORD)


def _app(user: User) -> TOTPDevice | None:
    device: TOTPDevice | None = TOTPDevice.objects.filter(user=user, confirmed=True).first()
    return device


def _check(user: User, token: str) -> TOTPDevice | BackupCodeDevice:
    limits.check(limits.SECOND_FACTOR, str(user.id))
    codes: BackupCodeDevice | None = BackupCodeDevice.objects.filter(user=user).first()
    for device in (_app(user), codes):
        if device is not None and device.verify_token(token):
            return device
    raise WrongToken


def _accept(request: HttpRequest, device: TOTPDevice | BackupCodeDevice) -> None:
    django_otp.login(request, device)
    request.session.cycle_key()
    stepup.note(request, stepup.SECOND_FACTOR)


def _replace_app(user: User, secret: bytes, step: int) -> TOTPDevice:
    TOTPDevice.objects.filter(user=user).delete()
    device: TOTPDevice = TOTPDevice.objects.create(
        user=user,
        name=_text("Authenticator app"),
        sealed_key=vault.seal(totp_purpose(user.id), secret),
        last_step=step,
        created_at=clock.now(),
    )
    return device


def _replace_codes(user: User) -> list[str]:
    device, _ = BackupCodeDevice.objects.get_or_create(
        user=user, defaults={"name": _text("Backup codes"), "created_at": clock.now()}
    )
    BackupCode.objects.filter(device=device).delete()
    codes = [new_code(BACKUP_CODE_GROUPS) for _ in range(BACKUP_CODES)]
    BackupCode.objects.bulk_create(
        BackupCode(device=device, user=user, code_hash=code_hash(user.id, code)) for code in codes
    )
    return codes


def _tell(user: User, change: str) -> None:
    emails.second_factor_changed(user, change)
    audit.record_installation(user, f"second-factor.{change}", user)


def _pending(request: HttpRequest) -> bytes | None:
    sealed = request.session.get(PENDING_KEY)
    if not sealed:
        return None
    try:
        return vault.unseal(_pending_purpose(current_person(request)), base64.b64decode(sealed))
    except (vault.VaultError, binascii.Error):
        return None


def _pending_purpose(user: User) -> str:
    return f"totp-enrolment|{user.id}"


def _shown(user: User, secret: bytes) -> Enrolment:
    text = base64.b32encode(secret).decode()
    label = quote(f"{ISSUER}:{user.email}")
    uri = f"otpauth://totp/{label}?{urlencode({'secret': text, 'issuer': ISSUER})}"
    picture = segno.make(uri, error="m").svg_inline(
        omitsize=True, light="white", title=_text("QR code for the authenticator app")
    )
    groups = " ".join(text[start : start + 4] for start in range(0, len(text), 4))
    # The picture is made of numbers and of a title that the library escapes.
    return Enrolment(secret=groups, uri=uri, svg=mark_safe(picture))  # noqa: S308
