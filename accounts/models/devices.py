# SPDX-License-Identifier: AGPL-3.0-or-later
"""Second factors: the framework's own classes keep keys and codes in clear, these do not."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device
from django_otp.oath import TOTP

from accounts import clock, vault
from accounts.models.users import User

STEP_SECONDS = 30
# One step to either side for a clock that is off (RFC 6238, section 5.2).
TOLERANCE_STEPS = 1


def matching_step(secret: bytes, token: str) -> int | None:
    """Return the 30-second step whose six-digit value this is, None when it is of none near now."""
    digits = "".join(token.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return None
    totp = TOTP(secret, step=STEP_SECONDS, digits=6)
    totp.time = clock.now().timestamp()
    return int(totp.t()) if totp.verify(int(digits), tolerance=TOLERANCE_STEPS) else None


def totp_purpose(user_id: UUID) -> str:
    """Return what an app's key is sealed for; AccountsConfig.sealed_columns names the same."""
    return f"totp|{user_id}"


def code_hash(user_id: UUID, code: str) -> bytes:
    """Return what is kept of a backup code, however the person spaced or capitalised it."""
    letters = "".join(character for character in code.lower() if character.isalnum())
    return vault.keyed_hash("backup-code", user_id.bytes + letters.encode())


class TOTPDevice(Device):  # type: ignore[misc] # django-otp has no types
    """A time-based one-time password generator; its key is sealed by the vault."""

    sealed_key = models.BinaryField()
    # The 30-second step of the newest value used: none is good twice (RFC 6238, section 5.2).
    last_step = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("authenticator app")
        constraints = [
            models.UniqueConstraint(name="totpdevice_one_per_user", fields=["user"]),
        ]

    def __str__(self) -> str:
        return f"{_('Authenticator app')} {self.pk}"

    def verify_token(self, token: str) -> bool:
        """Return whether the value is good now; it is used up by that. Counts no failures."""
        secret = vault.unseal(totp_purpose(self.user_id), self.sealed_key)
        step = matching_step(secret, token)
        # The condition and the change are one statement: of two uses at once only one succeeds.
        if step is None:
            return False
        rows = TOTPDevice.objects.filter(pk=self.pk, last_step__lt=step)
        used_up: int = rows.update(last_step=step)
        return used_up == 1


class BackupCodeDevice(Device):  # type: ignore[misc] # django-otp has no types
    """The person's one-time backup codes; only their keyed hashes are kept."""

    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("backup codes")
        constraints = [
            models.UniqueConstraint(name="backupcodedevice_one_per_user", fields=["user"]),
        ]

    def __str__(self) -> str:
        return f"{_('Backup codes')} {self.pk}"

    def verify_token(self, token: str) -> bool:
        """Return whether the code is one that was not used yet; it is used up by that."""
        rows = BackupCode.objects.filter(device=self, code_hash=code_hash(self.user_id, token))
        return rows.filter(used_at=None).update(used_at=clock.now()) == 1


class BackupCode(models.Model):
    device = models.ForeignKey(BackupCodeDevice, on_delete=models.CASCADE, related_name="codes")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    code_hash = models.BinaryField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("backup code")

    def __str__(self) -> str:
        return f"{_('Backup code')} {self.pk}"
