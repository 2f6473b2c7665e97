# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pieces of the front page about mail: first steps, figures, waiting mail, health of the routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Organisation
from accounts.models.organisations import KEEPERS, READERS
from accounts.tenancy import TenantModel
from relay import counting, waitlist
from relay import routes as acts
from relay.models import Credential, Delivery, QueuedDelivery, Route, SendingDomain
from relay.reasons import WORDS

REASONS_SHOWN = 5
ROUTES_SHOWN = 10
# What waits is counted no further for a front page.
COUNTED_MOST = 20_000

State = Delivery.State
# The page of another app, which this one may name but not import.
AGREEMENTS = "dpa:agreements"


@dataclass(frozen=True, slots=True)
class Panel:
    template: str
    data: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps; `url` is empty where there is nothing to press."""

    words: str | Promise
    why: str | Promise
    done: bool
    url: str = ""


# What is left until mail flows: the fact that says it is done, words, why, the page to do it on.
FIRST_STEPS = (
    (
        "sending_allowed",
        _("You may send"),
        _("Opened as soon as the data processing agreement is signed by both."),
        AGREEMENTS,
    ),
    (
        "has_domain",
        _("A domain is proven"),
        _("Put a record in the DNS of the domain you send from."),
        "relay:domains",
    ),
    (
        "has_route",
        _("A route is set up"),
        _("Say which mail server your mail goes through."),
        "relay:routes",
    ),
    (
        "has_credential",
        _("A credential is made"),
        _(
            "A user name and a secret for the program that sends. Until you may send, make one for"
            " the sandbox: its mail is checked and logged, and nobody receives it."
        ),
        "relay:credentials",
    ),
    (
        "has_delivered",
        _("The first message is delivered"),
        _("Send yourself one with a piece that stands ready beside your credential."),
        "relay:credentials",
    ),
)


def first_steps(membership: Membership, now: datetime) -> Panel | None:
    """Return what is left until mail flows, None when it does."""
    if membership.role not in READERS:
        return None
    facts = _facts(membership.organisation_id)
    if all(facts.values()):
        return None
    steps = [
        Step(words, why, facts[fact], _address(page, membership))
        for fact, words, why, page in FIRST_STEPS
    ]
    return Panel("relay/panels/first_steps.html", steps)


def _address(page: str, membership: Membership) -> str:
    """Return where a step is done; empty where the role does not open that page.

    A named signatory of another role has the panel of agreements on the same page.
    """
    closed = page == AGREEMENTS and membership.role not in KEEPERS
    return "" if closed else reverse(page)


def _facts(organisation_id: UUID) -> dict[str, bool]:
    """Return what the organisation has, in one query."""

    def has(model: type[TenantModel], **fields: Any) -> Exists:
        return Exists(model.objects.for_organisation(organisation_id).filter(**fields))

    rows = Organisation.objects.filter(pk=organisation_id).annotate(
        has_domain=has(SendingDomain, state=SendingDomain.State.VERIFIED),
        has_route=has(Route),
        has_credential=has(Credential, revoked_at=None, mode=Credential.Mode.LIVE),
        has_delivered=has(Delivery, state=State.DELIVERED),
    )
    facts: dict[str, bool] = rows.values(*(fact for fact, *_words in FIRST_STEPS)).get()
    return facts


def figures(membership: Membership, now: datetime) -> Panel:
    """Return what became of the mail of the last day and week, and what waits; no addresses.

    Spans of figures count as a whole, so an hour may be counted too much.
    """
    organisation_id = membership.organisation_id
    day, week = (counting.totals(organisation_id, now - timedelta(days=n)) for n in (1, 7))
    waits = QueuedDelivery.objects.for_organisation(organisation_id)[: COUNTED_MOST + 1].count()
    data = {
        "delivered_day": day["delivered"],
        "delivered_week": week["delivered"],
        "undelivered_day": sum(day[name] for name in counting.UNDELIVERED),
        "undelivered_week": sum(week[name] for name in counting.UNDELIVERED),
        "waiting": min(waits, COUNTED_MOST),
        "is_more": waits > COUNTED_MOST,
    }
    return Panel("relay/panels/figures.html", data)


def waiting(membership: Membership, now: datetime) -> Panel | None:
    """Return why mail waits, the most frequent reason first."""
    if membership.role not in READERS:
        return None
    counts = waitlist.counts(membership.organisation_id, now)
    data = {
        "reasons": [(WORDS[one.value], one) for one in counts.reasons[:REASONS_SHOWN]],
        "counts": counts,
        "now": now,
    }
    return Panel("relay/panels/waiting.html", data)


def routes(membership: Membership, now: datetime) -> Panel | None:
    """Return the routes, the paused ones first."""
    if membership.role not in READERS:
        return None
    rows = list(acts.listed(Route.objects.for_organisation(membership.organisation_id)))
    shown = sorted(rows, key=lambda row: row.paused_at is None)[:ROUTES_SHOWN]
    data = {"routes": shown, "carrying": acts.carrying(rows, now)}
    return Panel("relay/panels/routes.html", data) if shown else None
