# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses of the pages about mail."""

from __future__ import annotations

from django.urls import path

from relay.views import (
    credentials,
    domains,
    log,
    log_settings,
    providers,
    replies,
    restrictions,
    reviews,
    routes,
    statistics,
    suppressions,
    waiting,
    waiting_acts,
)

app_name = "relay"

urlpatterns = [
    # Without a slash: the SMTP server's replies link it, and their lines are short.
    path("help/smtp", replies.smtp_help, name="help-smtp"),
    path("credentials/", credentials.credentials, name="credentials"),
    path("credentials/new/", credentials.credential_new, name="credential-new"),
    path("credentials/<uuid:credential_id>/", credentials.credential, name="credential"),
    path(
        "credentials/<uuid:credential_id>/edit/",
        credentials.credential_edit,
        name="credential-edit",
    ),
    path(
        "credentials/<uuid:credential_id>/block/",
        credentials.credential_block,
        name="credential-block",
    ),
    path(
        "credentials/<uuid:credential_id>/unblock/",
        credentials.credential_unblock,
        name="credential-unblock",
    ),
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
    path("domains/<uuid:domain_id>/keys/", domains.domain_keys, name="domain-keys"),
    path("domains/keys/<uuid:key_id>/retire/", domains.key_retire, name="key-retire"),
    path("domains/keys/<uuid:key_id>/remove/", domains.key_remove, name="key-remove"),
    path("routes/", routes.routes, name="routes"),
    path("routes/new/", routes.route_new, name="route-new"),
    path("routes/new/direct/", routes.direct_new, name="direct-new"),
    path("routes/new/provider/", providers.provider_new, name="provider-new"),
    path("routes/<uuid:route_id>/", routes.route, name="route"),
    path("routes/<uuid:route_id>/provider/", providers.provider_edit, name="provider-edit"),
    path("routes/<uuid:route_id>/hook/", providers.route_hook, name="route-hook"),
    path("routes/<uuid:route_id>/edit/", routes.route_edit, name="route-edit"),
    path("routes/<uuid:route_id>/order/", routes.route_order, name="route-order"),
    path("routes/<uuid:route_id>/test/", routes.route_test, name="route-test"),
    path("routes/<uuid:route_id>/pause/", routes.route_pause, name="route-pause"),
    path("routes/<uuid:route_id>/resume/", routes.route_resume, name="route-resume"),
    path("routes/<uuid:route_id>/remove/", routes.route_remove, name="route-remove"),
    path("suppressions/", suppressions.listed, name="suppressions"),
    path("suppressions/new/", suppressions.suppression_new, name="suppression-new"),
    path("suppressions/import/", suppressions.suppressions_import, name="suppressions-import"),
    path("suppressions/export/", suppressions.suppressions_export, name="suppressions-export"),
    path(
        "suppressions/<uuid:suppression_id>/remove/",
        suppressions.suppression_remove,
        name="suppression-remove",
    ),
    path("restrictions/", restrictions.listed, name="restrictions"),
    path("restrictions/new/", restrictions.restriction_new, name="restriction-new"),
    path(
        "restrictions/<uuid:restriction_id>/lift/",
        restrictions.restriction_lift,
        name="restriction-lift",
    ),
    path("statistics/", statistics.statistics, name="statistics"),
    path("statistics/download/", statistics.statistics_download, name="statistics-download"),
    path("reviews/<uuid:review_id>/", reviews.review, name="review"),
    path("log/", log.messages, name="log"),
    path("log/settings/", log_settings.log_settings, name="log-settings"),
    path("log/download/", log.log_download, name="log-download"),
    path("log/<uuid:message_id>/", log.message, name="message"),
    path("waiting/", waiting.waiting, name="waiting"),
    # All of it, or one domain's: the query says which.
    path("waiting/retry/", waiting_acts.retry, name="retry-all"),
    path("waiting/hold/", waiting_acts.hold, name="hold-all"),
    path("waiting/release/", waiting_acts.release, name="release-all"),
    path("waiting/cancel/", waiting_acts.cancel, name="cancel-all"),
    path("waiting/<uuid:message_id>/retry/", waiting_acts.retry, name="retry"),
    path("waiting/<uuid:message_id>/hold/", waiting_acts.hold, name="hold"),
    path("waiting/<uuid:message_id>/release/", waiting_acts.release, name="release"),
    path("waiting/<uuid:message_id>/cancel/", waiting_acts.cancel, name="cancel"),
]
