# SPDX-License-Identifier: AGPL-3.0-or-later
"""Setting up routes: add, change, pause, resume, remove. How one is chosen: routing.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock
from accounts.models import Membership
from accounts.refusals import Refused
from relay import routing, scopes
from relay.models import Route, SendingDomain
from relay.retrying import send_what_waited
from relay.routing import RouteFacts, seal_secret
from relay.smtp.replies import Outcome, Verdict

# The last place in the order; two neighbours are STEP apart while there is room.
PRIORITY_MAX, STEP = 1000, 10
# What a kept connection was opened with; a change of it closes the connection.
CONNECTS = ("host", "port", "security", "username")
# What says which mail it carries.
CHOOSES = frozenset({"domain", "priority", "takes_over"})


class SecretMissing(Refused):
    text: Promise = _("Write the secret that belongs to the user name. Nothing was saved.")


class NotSetUp(Refused):
    text: Promise = _(
        "This service is not set up to deliver straight to the recipients' mail servers. Nothing"
        " was saved."
    )


class SecretOfAnotherServer(Refused):
    text: Promise = _(
        "The kept secret belongs to the server that was named here before, so it is not sent to"
        " another one. Write the secret for this server. Nothing was saved."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a person says about a route; an empty `secret` keeps the one that is there."""

    name: str
    kind: str = Route.Kind.OWN.value
    host: str = ""
    port: int = 587
    security: str
    username: str = ""
    secret: str = field(default="", repr=False)
    domain: SendingDomain | None = None
    priority: int = 10
    takes_over: bool = True
    concurrency: int = 10
    rate_per_minute: int | None = None


def listed(rows: QuerySet[Route]) -> QuerySet[Route]:
    """Order as routing takes them."""
    return rows.select_related("domain").order_by("priority", "created_at", "id")


def delivers_direct() -> bool:
    """Whether mail can leave straight for the recipients' servers, and its bounces come back."""
    return bool(settings.RELAY_DIRECT and settings.RELAY_BOUNCE_DOMAIN)


def carrying(rows: Iterable[Route], now: datetime) -> set[UUID]:
    """Return the routes that mail takes now, of all those of one organisation in their order."""
    facts = [_facts(row) for row in rows]
    chosen = (routing.choose(facts, domain, now) for domain in {fact.domain for fact in facts})
    return {found.id for found in chosen if isinstance(found, RouteFacts) and found.id}


def _facts(row: Route) -> RouteFacts:
    return RouteFacts(
        may_send=True,
        id=row.id,
        domain=row.domain.name if row.domain else "",
        takes_over=row.takes_over,
        rest_until=row.rest_until,
        paused=row.paused_at is not None,
        pause_reason=row.pause_reason,
    )


def add(details: Details, *, by: Membership) -> Route:
    """Make a route; mail that waited for one goes at once, its first piece here and now.

    Raises SecretMissing, NotSetUp.
    """
    if details.kind == Route.Kind.DIRECT and not delivers_direct():
        raise NotSetUp
    route = Route(organisation_id=by.organisation_id, created_at=clock.now())
    changed = _take(route, details)
    with transaction.atomic():
        route.save(force_insert=True)
        send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        audit.record(by.user, "route.created", route, changed)
    return route


def change(route: Route, details: Details, *, by: Membership) -> Route:
    """Change a route; what waited for another goes, its first piece here and now.

    Raises SecretMissing, SecretOfAnotherServer.
    """
    keeps = route.sealed_secret and details.username and not details.secret
    if keeps and details.host != route.host:
        raise SecretOfAnotherServer
    changed = _take(route, details)
    if not changed:
        return route
    columns = ["sealed_secret" if name == "secret" else name for name in changed]
    with transaction.atomic():
        if {"secret", *CONNECTS} & set(changed):
            route.version += 1
            wake(route)
            columns += _forget_health(route)
        elif CHOOSES & set(changed):
            send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        route.save(update_fields=[*columns, "version"])
        audit.record(by.user, "route.changed", route, changed)
    return route


def _forget_health(route: Route) -> list[str]:
    """What is known was found of another server; return the columns."""
    nothing = {
        "worked_at": None,
        "failed_at": None,
        "failed_code": 0,
        "failed_enhanced": "",
        "failed_stage": "",
    }
    for name, value in nothing.items():
        setattr(route, name, value)
    return list(nothing)


def _take(route: Route, details: Details) -> list[str]:
    """Write the details on the row; return the names of those that are new."""
    _demand_secret(route, details)
    names = [item.name for item in fields(details) if item.name != "secret"]
    changed = [name for name in names if getattr(route, name) != getattr(details, name)]
    for name in changed:
        setattr(route, name, getattr(details, name))
    if details.secret:
        route.sealed_secret = seal_secret(route.organisation_id, details.secret)
        changed.append("secret")
    elif not details.username and route.sealed_secret:
        route.sealed_secret = b""
        changed.append("secret")
    return changed


def _demand_secret(route: Route, details: Details) -> None:
    if details.username and not (details.secret or route.sealed_secret):
        raise SecretMissing


def move(route: Route, *, up: bool, by: Membership) -> None:
    """Change places with the route before it, or behind it, of those that serve the same domain."""
    with transaction.atomic():
        beside = Route.objects.for_organisation(by.organisation_id).filter(domain=route.domain_id)
        rows = list(listed(beside.select_for_update(of=("self",))))
        place = rows.index(route)
        other = place - 1 if up else place + 1
        if not 0 <= other < len(rows):
            return
        rows[place], rows[other] = rows[other], rows[place]
        _number(rows)
        send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        audit.record(by.user, "route.changed", route, ["priority"])


def _number(rows: list[Route]) -> None:
    """Give the rows priorities that are in this order, whatever they had."""
    step = max(1, min(STEP, PRIORITY_MAX // len(rows)))
    for place, row in enumerate(rows, 1):
        if row.priority != place * step:
            row.priority = place * step
            row.save(update_fields=["priority"])


def note(route: Route, outcome: Outcome) -> None:
    """Keep what a connection test came to; one that works ends the route's rest."""
    same = Route.objects.filter(pk=route.pk, version=route.version)
    if outcome.verdict is Verdict.DELIVERED:
        route.worked_at = clock.now()
        same.update(worked_at=route.worked_at)
        wake(route)
        return
    route.failed_at = clock.now()
    route.failed_code, route.failed_enhanced = outcome.code, outcome.enhanced[:12]
    route.failed_stage = outcome.stage or ""
    same.update(
        failed_at=route.failed_at,
        failed_code=route.failed_code,
        failed_enhanced=route.failed_enhanced,
        failed_stage=route.failed_stage,
    )


def wake(route: Route) -> None:
    """End the rest of a route that is known to work, or is another one now.

    Its mail goes, the first piece of it here and now.
    """
    failed = Route.objects.filter(pk=route.pk, failures__gt=0)
    if failed.update(failures=0, rest_until=None):
        route.failures, route.rest_until = 0, None
    send_what_waited(route.organisation_id, clock.now(), scopes.PIECE)


def pause(route: Route, *, by: Membership) -> None:
    """Send nothing by the route; its mail goes by the next, or waits, no longer than it would."""
    if route.paused_at is None:
        _set_pause(route, Route.PauseReason.BY_PERSON)
        send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        audit.record(by.user, "route.paused", route, ["paused_at"])


def resume(route: Route, *, by: Membership) -> None:
    """Use the route again; what waited for it goes at once, its first piece here and now."""
    if route.paused_at is not None:
        _set_pause(route, Route.PauseReason.NONE)
        send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        audit.record(by.user, "route.resumed", route, ["paused_at"])


def _set_pause(route: Route, reason: Route.PauseReason) -> None:
    route.pause_reason = reason
    route.paused_at = clock.now() if reason else None
    route.save(update_fields=["pause_reason", "paused_at"])


def remove(route: Route, *, by: Membership | None) -> None:
    """Forget a route and its secret; mail goes by the next, its first piece here and now, or waits.

    `by` is None when the service itself forgets it.
    """
    with transaction.atomic():
        audit.record(by.user if by else None, "route.removed", route)
        route.delete()
        if by:
            send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
