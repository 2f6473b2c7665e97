# SPDX-License-Identifier: AGPL-3.0-or-later
"""Organisations that may send, each with its domain, credentials and route; prints how to sign in.

Run as a program by the rig, after `migrate` and as the owner of the tables. Takes the tenants as
JSON, and gives the credentials as JSON.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from typing import Any

import django


def main(tenants: list[dict[str, Any]]) -> None:
    os.environ["DATABASE_ROLE"] = "owner"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    print(json.dumps([found for tenant in tenants for found in _tenant(**tenant)]))


def _tenant(
    domain: str, route: int, has_sandbox: bool, signs: bool, **onward: Any
) -> list[dict[str, Any]]:
    organisation = _organisation()
    owned = _domain(organisation, domain)
    _route(organisation, **onward)
    if signs:
        _signing_key(owned)
    modes = ["live", "sandbox"] if has_sandbox else ["live"]
    return [
        {
            **_credential(organisation, mode),
            "domain": domain,
            "route": route,
            "is_sandbox": mode == "sandbox",
        }
        for mode in modes
    ]


def _organisation() -> Any:
    # Models can be imported only when Django stands.
    from accounts import clock, vault
    from accounts.models import Organisation, OrganisationKey

    now = clock.now()
    organisation = Organisation.objects.create(name="Prøvehuset ApS", created_at=now)
    organisation.allow_sending(Organisation.SendingReason.DEMONSTRATION, now)
    OrganisationKey.objects.create(
        organisation=organisation,
        sealed=vault.new_organisation_key(organisation.id),
        created_at=now,
    )
    return organisation


def _domain(organisation: Any, domain: str) -> Any:
    from accounts import clock
    from relay.models import SendingDomain

    now = clock.now()
    return SendingDomain.objects.create(
        organisation=organisation,
        name=domain,
        token=secrets.token_urlsafe(24),
        state=SendingDomain.State.VERIFIED,
        # No DNS has its record, and a clock that is moved on makes it no older.
        reason=SendingDomain.Reason.DEVELOPMENT,
        created_at=now,
        checked_at=now,
        verified_at=now,
    )


def _route(organisation: Any, kind: str, route_port: int, host: str, secret: str) -> None:
    from accounts import clock
    from relay import routing
    from relay.models import Route

    leads: dict[str, dict[str, Any]] = {
        "own": {"host": host, "port": route_port, "security": Route.Security.NONE},
        "direct": {"security": Route.Security.OPPORTUNISTIC},
        "esp": {"provider": Route.Provider.POSTMARK},
    }
    sealed = routing.seal_secret(organisation.id, secret) if secret else b""
    Route.objects.create(
        organisation=organisation,
        name="far end",
        kind=kind,
        concurrency=20,
        created_at=clock.now(),
        sealed_secret=sealed,
        **leads[kind],
    )


def _signing_key(domain: Any) -> None:
    from accounts import clock
    from relay import dkimkeys
    from relay.smtp.dkim import Algorithm, new_secret

    key = dkimkeys.keep(domain, new_secret(Algorithm.RSA))
    key.signs_since = clock.now()
    key.save()


def _credential(organisation: Any, mode: str) -> dict[str, str]:
    from accounts import clock, vault
    from relay.models import Credential

    secret = secrets.token_urlsafe(24)
    credential = Credential.objects.create(
        organisation=organisation,
        name=f"load, {mode}",
        username="load-" + secrets.token_hex(6),
        secret_hash=vault.keyed_hash("smtp-credential", secret.encode()),
        mode=mode,
        rate_per_minute=1_000_000,
        daily_cap=100_000_000,
        created_at=clock.now(),
    )
    return {"username": credential.username, "password": secret}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
