# SPDX-License-Identifier: AGPL-3.0-or-later
"""The audit trail as a page shows it: names for the actors, words for the acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.apps import apps
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import AuditActor, AuditEvent

PAGE_LENGTH = 50

# The second half of an act's name; the first half is the kind of row, named by its model.
DEEDS: dict[str, str | Promise] = {
    "answered": gettext_lazy("answered"),
    "approved": gettext_lazy("approved"),
    "blocked": gettext_lazy("blocked"),
    "changed": gettext_lazy("changed"),
    "closing": gettext_lazy("closing down"),
    "created": gettext_lazy("created"),
    "downloaded": gettext_lazy("downloaded"),
    "ended": gettext_lazy("ended"),
    "extended": gettext_lazy("time extended"),
    "failing": gettext_lazy("proof gone missing"),
    "founded": gettext_lazy("founded"),
    "good": gettext_lazy("standing is good"),
    "hook-renewed": gettext_lazy("new address for reports"),
    "in-force": gettext_lazy("in force"),
    "lifted": gettext_lazy("lifted"),
    "log-changed": gettext_lazy("what is logged was changed"),
    "log-exported": gettext_lazy("log downloaded"),
    "mail-cancelled": gettext_lazy("waiting mail cancelled"),
    "mail-held": gettext_lazy("waiting mail held back"),
    "mail-released": gettext_lazy("held mail released"),
    "mail-retried": gettext_lazy("waiting mail tried at once"),
    "made": gettext_lazy("made"),
    "named": gettext_lazy("named"),
    "not_ours": gettext_lazy("not about us"),
    "offered": gettext_lazy("issued"),
    "paused": gettext_lazy("paused"),
    "pending": gettext_lazy("proof lost"),
    "received": gettext_lazy("received"),
    "rectified": gettext_lazy("corrected"),
    "refused": gettext_lazy("refused"),
    "released": gettext_lazy("let through by staff"),
    "removed": gettext_lazy("removed"),
    "requested": gettext_lazy("asked for"),
    "resumed": gettext_lazy("resumed"),
    "review-asked": gettext_lazy("a person asked for"),
    "review-decided": gettext_lazy("decided by a person"),
    "revoked": gettext_lazy("revoked"),
    "role-changed": gettext_lazy("role changed"),
    "rotated": gettext_lazy("signs from now on"),
    "seal-refused": gettext_lazy("refused by staff"),
    "sending-allowed": gettext_lazy("sending allowed"),
    "sending-stopped": gettext_lazy("sending stopped"),
    "sent": gettext_lazy("sent"),
    "signed": gettext_lazy("signed"),
    "suppressions-exported": gettext_lazy("list of suppressions exported"),
    "suppressions-imported": gettext_lazy("list of suppressions imported"),
    "suspended": gettext_lazy("suspended"),
    "taken": gettext_lazy("taken up"),
    "tested": gettext_lazy("connection tested"),
    "unblocked": gettext_lazy("block lifted"),
    "unpaid": gettext_lazy("unpaid"),
    "verified": gettext_lazy("verified"),
    "withdrawn": gettext_lazy("withdrawn"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """An event in words; `fields` are the names of what was changed."""

    sequence: int
    at: datetime
    actor: str
    act: str
    target: str
    fields: str


def lines(events: Sequence[AuditEvent]) -> list[Line]:
    names = _names([event.actor_id for event in events if event.actor_id])
    return [_line(event, names) for event in events]


def _names(actors: Sequence[UUID]) -> dict[UUID, str]:
    """Return the names of those actors whose person is (still) in the organisation."""
    rows = AuditActor.objects.filter(id__in=set(actors)).select_related("user")
    return {row.id: row.user.get_full_name() for row in rows}


def _line(event: AuditEvent, names: dict[UUID, str]) -> Line:
    return Line(
        sequence=event.sequence,
        at=event.at,
        actor=_actor(event.actor_id, names),
        act=_act(event),
        target=event.target_id[:8],
        fields=", ".join(event.fields),
    )


def _actor(actor: UUID | None, names: dict[UUID, str]) -> str:
    if actor is None:
        return _("Brevdue, by itself")
    return names.get(actor) or _("Somebody who is not in the organisation")


def _act(event: AuditEvent) -> str:
    kind = _kind(event.target_type)
    deed = DEEDS.get(event.action.rpartition(".")[2])
    return f"{kind}: {deed}" if deed and kind else event.action


def _kind(label: str) -> str:
    try:
        name = str(apps.get_model(label)._meta.verbose_name)
    except (LookupError, ValueError):
        return ""
    return name[:1].upper() + name[1:]
