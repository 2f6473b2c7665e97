# SPDX-License-Identifier: AGPL-3.0-or-later
"""An organisation's standing, and whether it may send: each change with its audit event."""

from __future__ import annotations

from django.db import transaction

from accounts import audit, clock
from accounts.models import Membership, Organisation, Role, User
from accounts.refusals import NotAllowed
from accounts.tenancy import organisation_context


def change_standing(
    organisation: Organisation, standing: Organisation.Standing, *, by: User | None
) -> None:
    """Set the standing; `by` is None when the service itself decides."""
    with transaction.atomic():
        organisation.standing = standing
        organisation.save(update_fields=["standing"])
        audit.record(by, f"organisation.{standing}", organisation, ["standing"])


def close(by: Membership) -> None:
    """Let an owner end the organisation: no more mail is accepted, and no owner is needed.

    Raises NotAllowed.
    """
    if by.role != Role.OWNER or by.approved_at is None:
        raise NotAllowed
    with organisation_context(by.organisation_id, person_id=by.user_id):
        change_standing(by.organisation, Organisation.Standing.CLOSING, by=by.user)


def allow_sending(
    organisation: Organisation, reason: Organisation.SendingReason, *, by: User | None
) -> None:
    """Let mail of the organisation be accepted from now on."""
    with transaction.atomic():
        organisation.allow_sending(reason, clock.now())
        audit.record(by, "organisation.sending-allowed", organisation, ["sending_allowed"])


def stop_sending(
    organisation: Organisation, reason: Organisation.SendingReason, *, by: User | None
) -> None:
    """Accept no more mail of the organisation; what was accepted is still delivered."""
    with transaction.atomic():
        organisation.stop_sending(reason, clock.now())
        audit.record(by, "organisation.sending-stopped", organisation, ["sending_allowed"])
