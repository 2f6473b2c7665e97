# SPDX-License-Identifier: AGPL-3.0-or-later
"""Setting up routes: add, change, pause, resume, remove. How one is chosen: routing.py."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock
from accounts.models import Membership
from accounts.refusals import Refused
from relay import scopes
from relay.models import Route, SendingDomain
from relay.retrying import send_what_waited
from relay.routing import seal_secret

# What a kept connection was opened with; a change of it closes the connection.
CONNECTS = ("host", "port", "security", "username")


class SecretMissing(Refused):
    text: Promise = _("Write the secret that belongs to the user name. Nothing was saved.")


class SecretOfAnotherServer(Refused):
    text: Promise = _(
        "The kept secret belongs to the server that was named here before, so it is not sent to"
        " another one. Write the secret for this server. Nothing was saved."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a person says about a route; an empty `secret` keeps the one that is there."""

    name: str
    host: str
    port: int
    security: str
    username: str = ""
    secret: str = field(default="", repr=False)
    domain: SendingDomain | None = None
    priority: int = 10
    concurrency: int = 10
    rate_per_minute: int | None = None


def listed(rows: QuerySet[Route]) -> QuerySet[Route]:
    """Order as routing takes them."""
    return rows.select_related("domain").order_by("priority", "created_at", "id")


def add(details: Details, *, by: Membership) -> Route:
    """Make a route; mail that waited for one goes at once, its first piece here and now.

    Raises SecretMissing.
    """
    route = Route(organisation_id=by.organisation_id, created_at=clock.now())
    changed = _take(route, details)
    with transaction.atomic():
        route.save(force_insert=True)
        send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        audit.record(by.user, "route.created", route, changed)
    return route


def change(route: Route, details: Details, *, by: Membership) -> Route:
    """Change a route. Raises SecretMissing, SecretOfAnotherServer."""
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
        route.save(update_fields=[*columns, "version"])
        audit.record(by.user, "route.changed", route, changed)
    return route


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


def wake(route: Route) -> None:
    """End the rest of a route that is known to work, or is another one now; its mail goes."""
    failed = Route.objects.filter(pk=route.pk, failures__gt=0)
    if failed.update(failures=0, rest_until=None):
        route.failures, route.rest_until = 0, None
        send_what_waited(route.organisation_id, clock.now())


def pause(route: Route, *, by: Membership) -> None:
    """Send nothing by the route; its mail waits, and does not wait longer for that."""
    if route.paused_at is None:
        _set_pause(route, Route.PauseReason.BY_PERSON)
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
    """Forget a route and its secret; mail that no other route takes waits.

    `by` is None when the service itself forgets it.
    """
    with transaction.atomic():
        audit.record(by.user if by else None, "route.removed", route)
        route.delete()
