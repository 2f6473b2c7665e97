# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses of the pages about people and organisations."""

from __future__ import annotations

from django.urls import path

from accounts.views import (
    consents,
    entry,
    joining,
    organisations,
    passwords,
    person,
    secondfactor,
    team,
    trail,
)

app_name = "accounts"

urlpatterns = [
    # Coming in
    path("sign-up/", joining.sign_up, name="sign-up"),
    path("sign-up/sent/", joining.sign_up_sent, name="sign-up-sent"),
    path("sign-up/confirm/<str:token>/", joining.sign_up_confirm, name="sign-up-confirm"),
    path("invitation/<str:token>/", joining.invitation, name="invitation"),
    path("sign-in/", entry.sign_in, name="sign-in"),
    path("sign-out/", entry.sign_out, name="sign-out"),
    # Password
    path("password/", passwords.password_change, name="password-change"),
    path("password/forgotten/", passwords.password_reset, name="password-reset"),
    path("password/forgotten/sent/", passwords.password_reset_sent, name="password-reset-sent"),
    path(
        "password/forgotten/<str:token>/",
        passwords.password_reset_confirm,
        name="password-reset-confirm",
    ),
    # Second factor
    path("second-factor/", secondfactor.second_factor, name="second-factor"),
    path("second-factor/again/", secondfactor.step_up, name="step-up"),
    path("second-factor/set-up/", secondfactor.second_factor_enrol, name="second-factor-enrol"),
    path("second-factor/codes/", secondfactor.backup_codes_renew, name="backup-codes-renew"),
    path("second-factor/remove/", secondfactor.second_factor_remove, name="second-factor-remove"),
    # The person
    path("profile/", person.profile, name="profile"),
    path("consents/", consents.choices, name="consents"),
    path("consents/confirm/<str:token>/", consents.confirm, name="consent-confirm"),
    path("consents/end/<str:token>/", consents.end, name="consent-end"),
    path("security/", person.security, name="security"),
    path("security/sessions/end/", person.sessions_end, name="sessions-end"),
    # Organisations
    path("organisations/", organisations.organisations, name="organisations"),
    path("organisations/new/", organisations.organisation_found, name="organisation-found"),
    path(
        "organisations/<uuid:organisation_id>/choose/",
        organisations.organisation_choose,
        name="organisation-choose",
    ),
    path("organisation/", organisations.organisation, name="organisation"),
    path("organisation/close/", organisations.organisation_close, name="organisation-close"),
    # Team
    path("team/", team.members, name="team"),
    path("team/invite/", team.invite, name="invite"),
    path(
        "team/invitations/<uuid:invitation_id>/withdraw/",
        team.invitation_withdraw,
        name="invitation-withdraw",
    ),
    path(
        "team/invitations/<uuid:invitation_id>/resend/",
        team.invitation_resend,
        name="invitation-resend",
    ),
    path("team/<uuid:membership_id>/approve/", team.member_approve, name="member-approve"),
    path("team/<uuid:membership_id>/refuse/", team.member_refuse, name="member-refuse"),
    path("team/<uuid:membership_id>/role/", team.member_role, name="member-role"),
    path("team/<uuid:membership_id>/remove/", team.member_remove, name="member-remove"),
    path("audit/", trail.audit_trail, name="audit-trail"),
]
