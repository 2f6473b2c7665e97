# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from accounts.models.audit import AuditActor, AuditChain, AuditCheckpoint, AuditEvent
from accounts.models.consents import Consent
from accounts.models.devices import BackupCode, BackupCodeDevice, TOTPDevice
from accounts.models.mail import Alert, OutgoingMail
from accounts.models.organisations import (
    Invitation,
    Membership,
    Organisation,
    OrganisationKey,
    Role,
)
from accounts.models.promises import PromiseResult
from accounts.models.users import Session, User

__all__ = [
    "Alert",
    "AuditActor",
    "AuditChain",
    "AuditCheckpoint",
    "AuditEvent",
    "BackupCode",
    "BackupCodeDevice",
    "Consent",
    "Invitation",
    "Membership",
    "Organisation",
    "OrganisationKey",
    "OutgoingMail",
    "PromiseResult",
    "Role",
    "Session",
    "TOTPDevice",
    "User",
]
