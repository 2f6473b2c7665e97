# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses of the pages about mail."""

from __future__ import annotations

from django.urls import path

from relay.views import credentials, domains

app_name = "relay"

urlpatterns = [
    path("credentials/", credentials.credentials, name="credentials"),
    path("credentials/new/", credentials.credential_new, name="credential-new"),
    path("credentials/<uuid:credential_id>/", credentials.credential, name="credential"),
    path(
        "credentials/<uuid:credential_id>/revoke/",
        credentials.credential_revoke,
        name="credential-revoke",
    ),
    path("domains/", domains.domains, name="domains"),
    path("domains/new/", domains.domain_new, name="domain-new"),
    path("domains/<uuid:domain_id>/", domains.domain, name="domain"),
    path("domains/<uuid:domain_id>/verify/", domains.domain_verify, name="domain-verify"),
    path("domains/<uuid:domain_id>/remove/", domains.domain_remove, name="domain-remove"),
]
