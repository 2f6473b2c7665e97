# SPDX-License-Identifier: AGPL-3.0-or-later
"""One organisation that may send, its domain, credential and route; prints how to sign in as JSON.

Run as a program by the rig, after `migrate` and as the owner of the tables.
"""

from __future__ import annotations

import json
import os
import secrets
import sys

import django


def main(route_port: int, domain: str) -> None:
    os.environ["DATABASE_ROLE"] = "owner"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    print(json.dumps(_organisation(route_port, domain)))


def _organisation(route_port: int, domain: str) -> dict[str, str]:
    # Models can be imported only when Django stands.
    from django.utils import timezone

    from accounts import vault
    from accounts.models import Organisation, OrganisationKey
    from relay.models import Credential, Route, SendingDomain

    now = timezone.now()
    secret = secrets.token_urlsafe(24)
    organisation = Organisation.objects.create(name="Prøvehuset ApS", created_at=now)
    organisation.allow_sending(Organisation.SendingReason.DEMONSTRATION, now)
    OrganisationKey.objects.create(
        organisation=organisation,
        sealed=vault.new_organisation_key(organisation.id),
        created_at=now,
    )
    SendingDomain.objects.create(
        organisation=organisation,
        name=domain,
        token=secrets.token_urlsafe(24),
        state=SendingDomain.State.VERIFIED,
        created_at=now,
        checked_at=now,
        verified_at=now,
    )
    Route.objects.create(
        organisation=organisation,
        name="far end",
        host="127.0.0.1",
        port=route_port,
        security=Route.Security.NONE,
        concurrency=20,
        created_at=now,
    )
    credential = Credential.objects.create(
        organisation=organisation,
        name="load",
        username="load-" + secrets.token_hex(6),
        secret_hash=vault.keyed_hash("smtp-credential", secret.encode()),
        rate_per_minute=1_000_000,
        daily_cap=100_000_000,
        created_at=now,
    )
    return {"username": credential.username, "password": secret}


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
