# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of requests and public duties."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from gdpr.views import (
    claims,
    correspondents,
    enquiries,
    erasure,
    imports,
    inbox,
    letters,
    public,
    requests,
    restriction,
    reviews,
    schema,
)

app_name = "gdpr"

urlpatterns: list[URLPattern | URLResolver] = [
    path("privacy/", public.privacy, name="privacy"),
    path("privacy/retention/", public.retention, name="retention"),
    path("privacy/recipients/", public.recipient_list, name="recipients"),
    path("privacy/request/", enquiries.enquiry, name="enquiry"),
    path("privacy/request/sent/", enquiries.enquiry_sent, name="enquiry-sent"),
    path("privacy/request/<str:token>/", enquiries.enquiry_confirm, name="enquiry-confirm"),
    path("privacy/request/<str:token>/own/", enquiries.enquiry_own, name="enquiry-own"),
    path("privacy/inbox/", inbox.inbox, name="inbox"),
    path("privacy/inbox/<uuid:row_id>/", inbox.inbox_request, name="inbox-request"),
    path("privacy/requests/", requests.requests, name="requests"),
    path("privacy/requests/new/", requests.request_new, name="request-new"),
    path("privacy/requests/<uuid:request_id>/", requests.request, name="request"),
    path(
        "privacy/requests/<uuid:request_id>/<slug:right>/answer/",
        requests.request_answer,
        name="request-answer",
    ),
    path(
        "privacy/requests/<uuid:request_id>/<slug:right>/withdraw/",
        requests.request_withdraw,
        name="request-withdraw",
    ),
    path(
        "privacy/requests/<uuid:request_id>/<slug:right>/second-look/",
        letters.second_look,
        name="second-look",
    ),
    path(
        "privacy/requests/<uuid:request_id>/letters/<uuid:letter_id>/",
        letters.letter,
        name="letter",
    ),
    # Two random numbers of 122 bits each, and a session of the one person: no link is guessed.
    path(
        "privacy/requests/<uuid:request_id>/packages/<uuid:package_id>/",
        requests.package,
        name="package",
    ),
    path(
        "privacy/requests/<uuid:request_id>/packages/<uuid:package_id>/end/",
        requests.package_end,
        name="package-end",
    ),
    path("privacy/restriction/", restriction.restriction, name="restriction"),
    path("privacy/restriction/ask/", restriction.restriction_ask, name="restriction-ask"),
    path("privacy/restriction/end/", restriction.restriction_end, name="restriction-end"),
    path("privacy/told/", restriction.told, name="told"),
    path("privacy/objection/", restriction.objection, name="objection"),
    path("privacy/correction/", requests.correction, name="correction"),
    path("privacy/correction/<str:token>/", requests.correction_confirm, name="address-confirm"),
    path("privacy/identity/<str:token>/", claims.identity_confirm, name="identity-confirm"),
    path("privacy/reviews/<uuid:review_id>/ask/", reviews.review_ask, name="review-ask"),
    path("privacy/portability.schema.json", schema.portability_schema, name="portability-schema"),
    path("privacy/manifest.schema.json", schema.manifest_schema, name="manifest-schema"),
    path("privacy/import/", imports.import_new, name="import"),
    path("privacy/import/plan/", imports.import_plan, name="import-plan"),
    path("privacy/import/discard/", imports.import_discard, name="import-discard"),
    # Erasure of the own account; the links of its mails carry their own proof.
    path("privacy/erasure/", erasure.erasure, name="erasure"),
    path("privacy/erasure/ask/", erasure.erasure_ask, name="erasure-ask"),
    path("privacy/erasure/cancel/", erasure.erasure_cancel, name="erasure-cancel"),
    path(
        "privacy/erasure/cancel/<str:token>/",
        erasure.erasure_cancel_link,
        name="erasure-cancel-link",
    ),
    # What an organisation has of one address, which stands sealed in the page's own address.
    path("correspondents/", correspondents.correspondents, name="correspondents"),
    path("correspondents/<str:sealed>/", correspondents.correspondent, name="correspondent"),
    path(
        "correspondents/<str:sealed>/export/",
        correspondents.correspondent_export,
        name="correspondent-export",
    ),
    path(
        "correspondents/<str:sealed>/erase/",
        correspondents.correspondent_erase,
        name="correspondent-erase",
    ),
    path(
        "correspondents/<str:sealed>/no-mail/",
        correspondents.correspondent_suppress,
        name="correspondent-suppress",
    ),
    path(
        "correspondents/<str:sealed>/restrict/",
        correspondents.correspondent_restrict,
        name="correspondent-restrict",
    ),
    path(
        "correspondents/packages/<uuid:package_id>/zip/",
        correspondents.package,
        name="correspondent-package",
    ),
    path(
        "correspondents/packages/<uuid:package_id>/end/",
        correspondents.package_end,
        name="correspondent-package-end",
    ),
    path(
        "correspondents/erasures/<uuid:erasure_id>/",
        correspondents.erasure,
        name="correspondent-erasure",
    ),
    path(
        "correspondents/erasures/<uuid:erasure_id>/pdf/",
        correspondents.certificate_pdf,
        name="correspondent-certificate",
    ),
    path("privacy/certificate/<str:token>/", erasure.certificate_page, name="certificate"),
    path("privacy/certificate/<str:token>/pdf/", erasure.certificate_pdf, name="certificate-pdf"),
    path("privacy/certificate/<str:token>/second/", erasure.completion_pdf, name="completion-pdf"),
]
