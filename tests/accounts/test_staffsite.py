# SPDX-License-Identifier: AGPL-3.0-or-later
"""The admin as Dorte sees it, and as nobody else does."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils.translation import override
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import (
    Alert,
    AuditEvent,
    Consent,
    Membership,
    Organisation,
    OutgoingMail,
    TOTPDevice,
    User,
)
from accounts.staffsite import site
from config.csp import POLICY
from dpa.models import Agreement
from gdpr.models import (
    AddressErasure,
    Approval,
    Erasure,
    ForwardedRequest,
    Letter,
    Notice,
    PersonRestriction,
    Recipient,
    Release,
    RequestedRight,
    RetentionRun,
)
from relay.models import (
    Credential,
    DkimKey,
    Hold,
    LogChoice,
    QueuedDelivery,
    Quota,
    Review,
    Route,
    SendingDomain,
    Suppression,
)
from tests import build
from tests.relay import pages

pytestmark = pytest.mark.django_db

STAFF = "/en/staff/"
MODELS = [
    Organisation, User, Membership, AuditEvent, Alert, OutgoingMail,
    Credential, SendingDomain, DkimKey, Route, QueuedDelivery, RequestedRight,
    Suppression, Review, LogChoice, Consent,
]  # fmt: skip
TRIED_ELSEWHERE = {
    AddressErasure, Agreement, Approval, Erasure, ForwardedRequest, Hold, Letter, Notice,
    PersonRestriction, Quota, Recipient, Release, RetentionRun,
}  # fmt: skip


def address(model: type[Model], page: str, *args: object) -> str:
    with override("en"):
        return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def verified(user: User) -> Client:
    """A browser in which the person has given password and second factor."""
    build.second_factor(user)
    client = pages.signed_in(user)
    with build.as_owner():
        session = client.session
        session[DEVICE_ID_SESSION_KEY] = TOTPDevice.objects.get(user=user).persistent_id
        session.save()
    return client


@pytest.fixture
def page(dorte: User) -> Client:
    return verified(dorte)


@pytest.fixture
def alert(db: None) -> Alert:
    with build.as_owner():
        return Alert.objects.create(
            kind="beat.silent", subject="beat", count=3, first_at=build.NOW, last_at=build.NOW
        )


def act(client: Client, model: type[Model], action: str, *rows: Model) -> Any:
    chosen = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(address(model, "changelist"), chosen, follow=True)


def acts() -> list[tuple[str, object]]:
    with build.as_owner():
        events = AuditEvent.objects.exclude(action="a").order_by("id")
        return list(events.values_list("action", "organisation_id"))


def test_these_models_and_no_others_are_shown() -> None:
    assert set(site._registry) == set(MODELS) | TRIED_ELSEWHERE


@pytest.mark.parametrize("model", MODELS)
def test_rows_can_be_looked_at_and_not_written(
    page: Client, everything: None, alert: Alert, model: type[Model]
) -> None:
    listed = page.get(address(model, "changelist"))
    assert listed.status_code == 200
    assert listed.headers["Content-Security-Policy"] == POLICY
    with build.as_owner():
        row = model._default_manager.first()
    assert row is not None
    one = address(model, "change", row.pk)
    shown = page.get(one)
    assert shown.status_code == 200
    assert 'name="_save"' not in shown.text
    for secret in ("sealed", "secret_hash", "password", "token"):
        assert f"field-{secret}" not in shown.text
    assert page.post(one, {"name": "changed"}).status_code == 403
    assert page.get(address(model, "add")).status_code == 403
    assert page.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", MODELS)
def test_no_page_holds_a_whole_address(
    page: Client, everything: None, alert: Alert, dorte: User, model: type[Model]
) -> None:
    with build.as_owner():
        rows = list(model._default_manager.all())
    for path in [address(model, "changelist"), *(address(model, "change", r.pk) for r in rows)]:
        text = page.get(path).text
        for known in ("anna@due.example", "carl@fremmed.example", "erik@modtager.example"):
            assert known not in text


@pytest.mark.parametrize("model", MODELS)
def test_names_of_rows_hold_no_address(everything: None, alert: Alert, model: type[Model]) -> None:
    with build.as_owner():
        assert not [row for row in model._default_manager.all() if "@" in str(row)]


def test_index_runs_as_staff_and_names_everything(page: Client, everything: None) -> None:
    text = page.get(STAFF).text
    for model in MODELS:
        assert address(model, "changelist") in text


def test_customers_find_nothing_here(anna: User, organisation: Organisation) -> None:
    for sign_in in (pages.signed_in, verified):
        client = sign_in(anna)
        for path in (STAFF, f"{STAFF}login/", address(Organisation, "changelist"), f"{STAFF}x/"):
            assert client.get(path).status_code == 404


def test_staff_without_second_factor_are_led_to_it(dorte: User) -> None:
    enrol = pages.signed_in(dorte).get(STAFF)
    assert enrol.headers["Location"] == "/en/second-factor/set-up/"
    build.second_factor(dorte)
    prompt = pages.signed_in(dorte).get(STAFF)
    assert prompt.headers["Location"] == "/en/second-factor/"


def test_sign_in_out_and_password_are_our_own(client: Client, page: Client) -> None:
    led = client.get(STAFF, follow=True)
    assert led.redirect_chain[-1][0].startswith("/en/sign-in/?next=")
    assert "/en/staff/" in led.redirect_chain[-1][0]
    assert page.post(f"{STAFF}logout/").headers["Location"] == "/en/sign-out/"
    assert page.get(f"{STAFF}password_change/").headers["Location"] == "/en/password/"


def test_sending_is_allowed_and_stopped_with_audit(
    page: Client, organisation: Organisation
) -> None:
    act(page, Organisation, "stop_sending", organisation)
    with build.as_owner():
        organisation.refresh_from_db()
    assert (organisation.sending_allowed, organisation.sending_reason) == (False, "staff")
    act(page, Organisation, "allow_sending", organisation)
    with build.as_owner():
        organisation.refresh_from_db()
    assert organisation.sending_allowed
    assert acts() == [
        ("organisation.sending-stopped", organisation.id),
        ("organisation.sending-allowed", organisation.id),
    ]


@pytest.mark.parametrize("standing", ["good", "unpaid", "suspended"])
def test_standing_is_changed_with_audit(
    page: Client, organisation: Organisation, standing: str
) -> None:
    response = act(page, Organisation, f"set_{standing}", organisation)
    assert f"is now: {standing}" in response.text
    with build.as_owner():
        organisation.refresh_from_db()
    assert organisation.standing == standing
    assert acts() == [(f"organisation.{standing}", organisation.id)]


def test_one_organisation_at_a_time(
    page: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    response = act(page, Organisation, "stop_sending", organisation, other_organisation)
    assert "Choose one row at a time" in response.text
    assert acts() == []


def test_credential_is_revoked_with_audit(page: Client, organisation: Organisation) -> None:
    with build.as_owner():
        row = Credential.objects.create(
            organisation=organisation, name="web", username="u", secret_hash=b"x",
            created_at=build.NOW,
        )  # fmt: skip
    act(page, Credential, "revoke", row)
    with build.as_owner():
        row.refresh_from_db()
    assert row.revoked_at is not None
    assert acts() == [("credential.revoked", row.organisation_id)]


def test_credential_is_blocked_and_the_block_is_lifted(
    page: Client, organisation: Organisation
) -> None:
    with build.as_owner():
        row = Credential.objects.create(
            organisation=organisation, name="web", username="u", secret_hash=b"x",
            created_at=build.NOW,
        )  # fmt: skip
    for action, reason in (("block", "by_staff"), ("unblock", "")):
        assert "counts within 5 seconds" in act(page, Credential, action, row).text
        with build.as_owner():
            row.refresh_from_db()
        assert row.block_reason == reason
    assert [deed for deed, _ in acts()] == ["credential.blocked", "credential.unblocked"]
    with build.as_owner():
        Credential.objects.update(revoked_at=build.NOW)
    assert "cannot be undone" in act(page, Credential, "block", row).text


def test_alert_stands_on_every_page_until_it_is_resolved(page: Client, alert: Alert) -> None:
    assert "beat.silent beat" in page.get(STAFF).text
    act(page, Alert, "resolve", alert)
    with build.as_owner():
        alert.refresh_from_db()
    assert alert.resolved_at is not None
    assert "seen 3 times" not in page.get(STAFF).text
    assert acts() == [("alert.resolved", None)]


def test_a_consent_is_ended_for_whoever_asks_by_phone(
    page: Client, everything: None, anna: User
) -> None:
    with build.as_owner():
        row = Consent.objects.get(user=anna)
    act(page, Consent, "withdraw", row)
    with build.as_owner():
        row.refresh_from_db()
    assert row.withdrawn_in == "staff"
    assert acts() == [("consent.withdrawn", None)]


def test_a_look_at_a_person_is_recorded(page: Client, anna: User) -> None:
    text = page.get(address(User, "change", anna.pk)).text
    assert "a•••@due.example" in text
    assert acts() == [("person.viewed", None)]


def test_staff_without_the_right_may_only_look(organisation: Organisation) -> None:
    plain = build.person("Finn", "Kigger", is_staff=True)
    response = act(verified(plain), Organisation, "stop_sending", organisation)
    assert response.status_code == 403
    assert acts() == []


def test_composite_keys_stay_out() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("admin:relay_message_changelist")
