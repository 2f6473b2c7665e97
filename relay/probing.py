# SPDX-License-Identifier: AGPL-3.0-or-later
"""The connection test of a route: connect, encrypt, sign in, send nothing."""

from __future__ import annotations

import asyncio

from django.conf import settings

from accounts import audit, limits, vault
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from accounts.tenancy import organisation_context
from relay import routes
from relay.egress import guard_from_settings
from relay.esp import posting
from relay.models import Route
from relay.routing import SECRET_PURPOSE
from relay.smtp.handshake import Timeouts
from relay.smtp.replies import Outcome
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import RouteTarget
from relay.transports.smarthost import Probed, Smarthost

TESTS = Limit("connection-tests", ((10, HOUR),))
# A person waits for the answer, and the page's process with them: `session` is for all of it. Each
# step has a limit of its own, so that the answer says which one it was.
TIMEOUTS = Timeouts(connect=6, tls=6, greeting=12, command=8, session=18, goodbye=1)


def probe(route: Route, *, by: Membership) -> Probed:
    """Try the route as it is saved; DELIVERED means that it works. Raises TooMany, VaultError.

    Call it outside a transaction: none should stay open while the server is waited for.
    """
    limits.check(TESTS, str(by.organisation_id))
    with organisation_context(by.organisation_id, person_id=by.user_id):
        target = _target(route)
    found = asyncio.run(_probe(target))
    with organisation_context(by.organisation_id, person_id=by.user_id):
        routes.note(route, found.outcome)
        audit.record(by.user, "route.tested", route)
    return found


def _target(route: Route) -> RouteTarget:
    return RouteTarget(
        route_id=route.id,
        kind=route.kind,
        provider=route.provider,
        provider_domain=route.provider_domain,
        host=route.host,
        port=route.port,
        tls=TlsPolicy(route.security),
        username=route.username,
        password=_password(route),
    )


def _password(route: Route) -> str:
    if not route.sealed_secret:
        return ""
    owner = route.organisation_id
    return vault.unseal(SECRET_PURPOSE, route.sealed_secret, organisation_id=owner).decode()


async def _probe(target: RouteTarget) -> Probed:
    if target.kind == Route.Kind.ESP:
        return Probed(await asyncio.to_thread(_ask_provider, target))
    smarthost = Smarthost(
        ehlo_name=settings.RELAY_HOSTNAME,
        contexts=make_contexts(settings.RELAY_CA_FILE),
        guard=guard_from_settings(),
        timeouts=TIMEOUTS,
    )
    return await smarthost.probe(target)


def _ask_provider(target: RouteTarget) -> Outcome:
    known = (target.provider, target.password, target.username, target.provider_domain)
    account = posting.Account.of(*known, settings.RELAY_ESP_URLS)
    channel = posting.Channel.open()
    try:
        return posting.probe(account, channel)
    finally:
        channel.close()
