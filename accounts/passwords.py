# SPDX-License-Identifier: AGPL-3.0-or-later
"""The password rule, and codes that stand in for a password until the first sign-in."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from accounts.models import User

# The least that is promised; an operator may ask for more, never for less.
PASSWORD_FLOOR_LENGTH = 8
PASSWORD_FLOOR_DIGITS = 2

# None of these 31 is easily taken for another; a group of five has 24.7 bits.
CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUP_LENGTH = 5
FIRST_SIGN_IN_GROUPS = 4


def required_length() -> int:
    """Return the fewest characters of a password. Raises ImproperlyConfigured below the floor."""
    length: int = settings.PASSWORD_LENGTH
    if length < PASSWORD_FLOOR_LENGTH:
        raise ImproperlyConfigured(f"PASSWORD_LENGTH must be at least {PASSWORD_FLOOR_LENGTH}")
    return length


class LengthValidator:
    """Asks for `settings.PASSWORD_LENGTH` characters."""

    def validate(self, password: str, user: User | None = None) -> None:
        if len(password) < required_length():
            raise ValidationError(self.get_help_text(), code="password_too_short")

    def get_help_text(self) -> str:
        length = required_length()
        return ngettext(
            "Use at least %(count)d character.", "Use at least %(count)d characters.", length
        ) % {"count": length}


class DigitsValidator:
    """Asks for PASSWORD_FLOOR_DIGITS digits, whatever the settings say."""

    def validate(self, password: str, user: User | None = None) -> None:
        if sum(character.isdecimal() for character in password) < PASSWORD_FLOOR_DIGITS:
            raise ValidationError(self.get_help_text(), code="password_too_few_digits")

    def get_help_text(self) -> str:
        return _("Use at least %(count)d digits.") % {"count": PASSWORD_FLOOR_DIGITS}


def new_code(groups: int) -> str:
    """Return a random code of so many groups, which are easy to copy."""
    return "-".join(_group() for _ in range(groups))


def _group() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(GROUP_LENGTH))
