# SPDX-License-Identifier: AGPL-3.0-or-later
"""Setting up a route through a provider: the customer's own account there, and its reports."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, vault
from accounts.models import Membership
from accounts.refusals import Refused
from relay import routes, scopes
from relay.esp.providers import PROVIDERS, Keys, Provider
from relay.models import Route, SendingDomain
from relay.retrying import send_what_waited
from relay.routing import SECRET_PURPOSE, seal_secret

# What a kept channel was opened with; a change of it opens another one.
CONNECTS = frozenset({"provider", "provider_domain", "username", "secret"})
# What tells one account from another.
ACCOUNT = ("provider", "provider_domain", "username")
HOOK_PURPOSE = "esp-hook"
HOOK_OCTETS = 32
HOOK_LENGTH = 43  # characters that they are written with
# Of the audit trail: the customer instructed us to hand mail over outside the EEA.
THIRD_COUNTRY = "third_country"


class KeyMissing(Refused):
    text: Promise = _("Write the key of your account there. Nothing was saved.")


class KeyOfAnotherAccount(Refused):
    text: Promise = _(
        "The kept key belongs to the account that was named here before, so it is not sent"
        " anywhere else. Write the key of this account. Nothing was saved."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDetails:
    """What a person says about an account; an empty `secret` keeps the one that is there."""

    name: str
    provider: str
    provider_domain: str = ""
    username: str = ""
    secret: str = field(default="", repr=False)
    signing: str = field(default="", repr=False)
    domain: SendingDomain | None = None
    priority: int = 10
    takes_over: bool = False
    concurrency: int = 10
    rate_per_minute: int | None = None


def add(details: AccountDetails, *, by: Membership) -> Route:
    """Make a route; mail that waited for one goes at once, its first piece here and now.

    Raises KeyMissing.
    """
    if not details.secret:
        raise KeyMissing
    route = Route(
        organisation_id=by.organisation_id, created_at=clock.now(), kind=Route.Kind.ESP, host=""
    )
    changed = _take(route, details)
    with transaction.atomic():
        route.save(force_insert=True)
        send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        audit.record(by.user, "route.created", route, _told(route, changed))
    return route


def change(route: Route, details: AccountDetails, *, by: Membership) -> Route:
    """Change a route of kind ESP. Raises KeyOfAnotherAccount."""
    if _is_moved(route, details) and not details.secret:
        raise KeyOfAnotherAccount
    changed = _take(route, details)
    if not changed:
        return route
    columns = ["sealed_secret" if name == "secret" else name for name in changed]
    with transaction.atomic():
        if CONNECTS & set(changed):
            route.version += 1
            routes.wake(route)
        elif routes.CHOOSES & set(changed):
            send_what_waited(by.organisation_id, clock.now(), scopes.PIECE)
        route.save(update_fields=[*columns, "version"])
        audit.record(by.user, "route.changed", route, _told(route, changed))
    return route


def _is_moved(route: Route, details: AccountDetails) -> bool:
    return any(getattr(route, name) != getattr(details, name) for name in ACCOUNT)


def _take(route: Route, details: AccountDetails) -> list[str]:
    """Write the details on the row; return the names of those that are new."""
    moved = _is_moved(route, details)
    names = [item.name for item in fields(details) if item.name not in ("secret", "signing")]
    changed = [name for name in names if getattr(route, name) != getattr(details, name)]
    for name in changed:
        setattr(route, name, getattr(details, name))
    if details.secret or details.signing:
        # What signs one account's events proves nothing about another's.
        kept = Keys("") if moved else Keys.split(secret(route))
        keys = Keys(details.secret or kept.api, details.signing or kept.signing)
        route.sealed_secret = seal_secret(route.organisation_id, keys.joined())
        changed.append("secret")
    return changed


def _told(route: Route, changed: list[str]) -> list[str]:
    abroad = "provider" in changed and not provider_of(route).in_eea
    return [*changed, THIRD_COUNTRY] if abroad else changed


def provider_of(route: Route) -> Provider:
    return PROVIDERS[route.provider]


def secret(route: Route) -> str:
    """Return the account's keys in clear, "" for none. Open the organisation's context first."""
    if not route.sealed_secret:
        return ""
    owner = route.organisation_id
    return vault.unseal(SECRET_PURPOSE, route.sealed_secret, organisation_id=owner).decode()


def renew_hook(route: Route, *, by: Membership) -> str:
    """Make a new secret for the address that the provider reports to; return it, kept nowhere.

    The one before it counts no more.
    """
    made = secrets.token_urlsafe(HOOK_OCTETS)
    route.hook_hash, route.hook_made_at = hook_hash(made), clock.now()
    route.hook_seen_at = None
    with transaction.atomic():
        route.save(update_fields=["hook_hash", "hook_made_at", "hook_seen_at"])
        audit.record(by.user, "route.hook-renewed", route, ["hook_made_at"])
    return made


def hook_hash(made: str) -> bytes:
    return vault.keyed_hash(HOOK_PURPOSE, made.encode())
