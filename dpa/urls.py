# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of agreements."""

from __future__ import annotations

from django.urls import path

from dpa.views import agreements, checking, signatories, signing

app_name = "dpa"

urlpatterns = [
    path("agreements/", agreements.agreements, name="agreements"),
    path("agreements/text/", agreements.draft, name="draft"),
    path("agreements/issue/", signing.issue, name="issue"),
    path("agreements/<uuid:agreement_id>/", agreements.agreement, name="agreement"),
    path("agreements/<uuid:agreement_id>/sign/", signing.sign, name="sign"),
    path("agreements/<uuid:agreement_id>/withdraw/", signing.withdraw, name="withdraw"),
    path("agreements/<uuid:agreement_id>/pdf/", agreements.document, name="document"),
    path("agreements/signatories/", signatories.signatories, name="signatories"),
    path(
        "agreements/signatories/<uuid:signatory_id>/withdraw/",
        signatories.signatory_withdraw,
        name="signatory-withdraw",
    ),
    # Public
    path("agreements/verify/", checking.verify, name="verify"),
    path("agreements/verify/root/", checking.trust_root, name="trust-root"),
    path("agreements/schema/", checking.schema, name="schema"),
]
