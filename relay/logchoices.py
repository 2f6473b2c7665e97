# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much of its mail an organisation has logged, and for how long.

The customer decides, as the controller of the mail (GDPR article 28(3)(a)), and the agreement
prints what is in force. Call everything inside the organisation's context (accounts/tenancy.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.models import Membership
from relay.models import LogChoice, messages
from relay.smtp.controls import PROFILES


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile of LogChoice and whole days; without a row the least, for the whole period."""

    profile: str = PROFILES[0]
    days: int = field(default_factory=lambda: messages.LOG_DAYS)

    def is_wider_than(self, other: Self) -> bool:
        """Whether more of a mail is logged than by the other."""
        return PROFILES.index(self.profile) > PROFILES.index(other.profile)


def choice_of(organisation_id: UUID) -> Choice:
    """Return what is in force."""
    row = LogChoice.objects.for_organisation(organisation_id).first()
    return Choice(row.profile, min(row.days, messages.LOG_DAYS)) if row else Choice()


def choose(choice: Choice, now: datetime, *, by: Membership) -> bool:
    """Let it be in force: of mail to come within seconds, of the days within the hour.

    What is logged already stays as it is until its days are over. Returns whether it is new.
    """
    before, fields = asdict(choice_of(by.organisation_id)), asdict(choice)
    changed = [name for name, value in fields.items() if before[name] != value]
    if changed:
        with transaction.atomic():
            LogChoice.objects.update_or_create(
                organisation_id=by.organisation_id, defaults={**fields, "changed_at": now}
            )
            audit.record(by.user, "organisation.log-changed", by.organisation, changed)
    return bool(changed)
