# SPDX-License-Identifier: AGPL-3.0-or-later
"""A domain's signing keys and its other records on its page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.html import escape
from pytest_django.fixtures import Settings

from accounts.models import AuditEvent, Organisation, Role, User
from relay import dkimkeys, verification
from relay.models import DkimKey, DkimSecret, DomainRecord, SendingDomain
from relay.smtp import dkim
from tests import build
from tests.build import NOW
from tests.relay import mail, pages
from tests.relay.smtp.signatures import ED25519, RSA, key

pytestmark = pytest.mark.django_db

OURS = "retur.brevdue.example"


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making an RSA key takes a quarter of a second."""
    monkeypatch.setattr(dkim, "new_secret", lambda algorithm: key(algorithm).secret)


@pytest.fixture
def page(bo: User, organisation: Organisation) -> Client:
    mail.with_key(organisation)
    return pages.signed_in(bo)


@pytest.fixture
def domain(organisation: Organisation) -> SendingDomain:
    with build.as_owner():
        return SendingDomain.objects.create(
            organisation=organisation, name="kunde.example", token="t" * 32, created_at=NOW,
            state=SendingDomain.State.VERIFIED, verified_at=NOW, checked_at=NOW,
        )  # fmt: skip


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the name servers have: texts by name."""
    known: dict[str, str] = {"_brevdue.kunde.example": "t" * 32}

    async def ask(name: str, kind: str) -> list[str]:
        return [known[name]] if kind == "TXT" and name in known else []

    monkeypatch.setattr(verification, "asker", lambda: ask)
    return known


def of(domain: SendingDomain) -> str:
    return f"/en/domains/{domain.id}/"


def kept(domain: SendingDomain, **fields: object) -> DkimKey:
    values = {"selector": "bdabcdefgh", "algorithm": RSA, "public": "QUJD"} | fields
    with build.as_owner():
        made = DkimKey.objects.create(
            organisation=domain.organisation, domain=domain, created_at=NOW, **values
        )
        DkimSecret.objects.create(key=made, organisation=domain.organisation, sealed=b"x")
    return made


def seen(domain: SendingDomain, kind: str, state: str, **fields: object) -> None:
    with build.as_owner():
        DomainRecord.objects.create(
            organisation=domain.organisation, domain=domain, kind=kind, state=state,
            checked_at=NOW, **fields,
        )  # fmt: skip


def acts() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


def test_keys_are_made_shown_with_copy_buttons_and_sign_when_published(
    page: Client, domain: SendingDomain, published: dict[str, str]
) -> None:
    text = page.post(f"{of(domain)}keys/", follow=True).text
    with build.as_owner():
        rsa, second = DkimKey.objects.order_by("-algorithm")
    assert "New keys are made" in text
    for made in (rsa, second):
        name = f"{made.selector}._domainkey.kunde.example"
        value = f"v=DKIM1; k={made.algorithm}; p={made.public}"
        for part, shown in (("name", name), ("value", value)):
            assert f'id="{made.selector}-{part}">{escape(shown)}</code>' in text
            assert f'data-copy="{made.selector}-{part}"' in text
    assert f'id="{rsa.selector}-quoted"' in text
    assert f'id="{second.selector}-quoted"' not in text
    assert "waiting for its record" in text
    published[f"{rsa.selector}._domainkey.kunde.example"] = f"v=DKIM1; k=rsa; p={rsa.public}"
    text = page.post(f"{of(domain)}verify/", follow=True).text
    assert "Signs since" in text
    assert acts() == ["key.made", "key.made", "key.rotated"]


def test_no_keys_are_made_while_such_wait(page: Client, domain: SendingDomain) -> None:
    page.post(f"{of(domain)}keys/")
    text = page.post(f"{of(domain)}keys/", follow=True).text
    assert "New keys wait already" in text
    assert "Make new keys" not in text
    with build.as_owner():
        assert DkimKey.objects.count() == 2


def test_making_of_keys_is_limited(
    page: Client, domain: SendingDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.limits._wait", lambda *args: 1)
    assert "Too many tries" in page.post(f"{of(domain)}keys/", follow=True).text
    with build.as_owner():
        assert not DkimKey.objects.exists()


def test_key_is_stopped_and_removed_and_its_record_stays_for_a_while(
    page: Client, domain: SendingDomain
) -> None:
    made = kept(domain, signs_since=NOW)
    path = f"/en/domains/keys/{made.id}/"
    assert "Stop it first" in page.post(f"{path}remove/", follow=True).text
    text = page.post(f"{path}retire/", follow=True).text
    assert "Leave this record until" in text
    assert "Leave its record in the DNS until" in page.get(f"{path}remove/").text
    assert "The key is removed" in page.post(f"{path}remove/", follow=True).text
    with build.as_owner():
        assert not DkimKey.objects.exists()
        assert not DkimSecret.objects.exists()
    assert acts() == ["key.ended", "key.removed"]


@pytest.mark.parametrize(
    ("fields", "record", "says"),
    [
        ({"signs_since": NOW}, ("missing", NOW), "It signs on until"),
        ({"signs_since": NOW}, ("weak", NOW), "as a test (t=y)"),
        ({"signs_since": NOW}, ("found", NOW), "Leave its record where it is"),
        ({}, ("wrong", None), "character by character"),
        ({}, ("several", None), "Receivers then use none of them"),
        ({}, ("unreachable", None), "did not answer"),
        ({"algorithm": ED25519}, ("missing", None), "A second, shorter signature"),
        ({"retired_at": NOW - timedelta(days=8), "signs_since": NOW}, None, "can go now"),
        ({"signs_since": NOW - timedelta(days=366)}, None, "time for a new one"),
    ],
)
def test_state_of_a_key_is_told_in_words(
    page: Client,
    domain: SendingDomain,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, object],
    record: tuple[str, object] | None,
    says: str,
) -> None:
    made = kept(domain, **fields)
    monkeypatch.setattr("accounts.clock.now", lambda: NOW)
    if record:
        seen(domain, "dkim", record[0], key=made, found_at=record[1], seen="v=DKIM1; p=<x>")
    text = page.get(of(domain)).text
    assert says in text
    if record and record[0] in ("wrong", "several"):
        assert "<code>v=DKIM1; p=&lt;x&gt;</code>" in text


def test_way_back_is_shown_where_failures_can_come_back(
    page: Client, domain: SendingDomain, settings: Settings
) -> None:
    settings.RELAY_BOUNCE_DOMAIN = ""
    assert "Return path" not in page.get(of(domain)).text
    settings.RELAY_BOUNCE_DOMAIN = OURS
    seen(domain, "return_path", "wrong", seen="mail.kunde.example")
    seen(domain, "spf", "several", seen="v=spf1 -all")
    text = page.get(of(domain)).text
    assert 'id="back-name">bounce.kunde.example</code>' in text
    assert f'id="back-value">{OURS}</code>' in text
    assert f'id="mx-value">10 {OURS}</code>' in text
    assert f'id="txt-value">v=spf1 include:_spf.{OURS} -all</code>' in text
    assert "<code>mail.kunde.example</code>" in text
    assert "Several records of the kind" in text


def test_policy_is_suggested_and_never_demanded(page: Client, domain: SendingDomain) -> None:
    text = page.get(of(domain)).text
    assert 'id="policy-value">v=DMARC1; p=none</code>' in text
    assert "not looked for yet" in text
    seen(domain, "dmarc", "found", seen="v=DMARC1; p=reject")
    text = page.get(of(domain)).text
    assert "<code>v=DMARC1; p=reject</code>" in text
    assert "policy-value" not in text


def test_anothers_key_is_what_a_missing_one_is(domain: SendingDomain, carl: User) -> None:
    made, client = kept(domain, signs_since=NOW), pages.signed_in(carl)
    assert client.post(f"{of(domain)}keys/").status_code == 404
    for tail in ("retire/", "remove/"):
        for key_id in (made.id, carl.id):
            assert client.post(f"/en/domains/keys/{key_id}/{tail}").status_code == 404
    with build.as_owner():
        assert DkimKey.objects.filter(retired_at=None).count() == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(
    domain: SendingDomain, organisation: Organisation, role: Role
) -> None:
    made, client = kept(domain, signs_since=NOW), pages.member(organisation, role)
    assert client.post(f"{of(domain)}keys/").status_code == 403
    for tail in ("retire/", "remove/"):
        assert client.post(f"/en/domains/keys/{made.id}/{tail}").status_code == 403
    if role == Role.VIEWER:
        text = client.get(of(domain)).text
        assert "Leave its record where it is" in text
        assert "Stop signing" not in text
        assert "Make new keys" not in text


def test_periods_are_in_order() -> None:
    # What waits goes out unsigned or under the next key long before its record may go.
    assert dkimkeys.SECRET_KEPT < dkimkeys.GRACE < dkimkeys.KEPT
    assert dkim.VALID <= dkimkeys.KEPT
