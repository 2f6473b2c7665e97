# SPDX-License-Identifier: AGPL-3.0-or-later
"""A key's life by what is seen of its record."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from accounts.models import AuditEvent, Membership, Organisation, User
from accounts.tenancy import organisation_context
from relay import dkimkeys, verification
from relay.models import DkimKey, DkimSecret, DomainRecord, SendingDomain
from relay.nameservers import Ask, Unreachable
from relay.smtp import dkim
from tests import build
from tests.build import NOW
from tests.relay import mail
from tests.relay.smtp.signatures import ED25519, RSA, key

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(organisation: Organisation) -> Organisation:
    mail.with_key(organisation)
    return organisation


@pytest.fixture
def domain(house: Organisation) -> SendingDomain:
    with build.as_owner():
        return SendingDomain.objects.create(
            organisation=house, name="kunde.example", token="t", created_at=NOW,
            state=SendingDomain.State.VERIFIED, verified_at=NOW, checked_at=NOW,
        )  # fmt: skip


def by(person: User) -> Membership:
    with build.as_owner():
        return Membership.objects.select_related("user").get(user=person)


def make(domain: SendingDomain, person: User, *algorithms: dkim.Algorithm) -> list[DkimKey]:
    secrets = [key(algorithm).secret for algorithm in algorithms or (RSA, ED25519)]
    with organisation_context(domain.organisation_id, person_id=person.id):
        return dkimkeys.make(domain, secrets, by=by(person))


def publishing(*keys: DkimKey, test: bool = False) -> Ask:
    """Name servers that have these keys' records."""
    known = {f"{key.selector}._domainkey.kunde.example": key for key in keys}

    async def ask(name: str, kind: str) -> list[str]:
        found = known.get(name)
        if found is None:
            return ["t"] if name.startswith("_brevdue.") else []
        said = "t=y; " if test else ""
        return [f"v=DKIM1; {said}k={found.algorithm}; p={found.public}"]

    return ask


async def silent(name: str, kind: str) -> list[str]:
    raise Unreachable


def look(domain: SendingDomain, ask: Ask, *, minutes: float = 0, by: User | None = None) -> None:
    with organisation_context(domain.organisation_id, person_id=by.id if by else None):
        rows = SendingDomain.objects.for_organisation(domain.organisation_id)
        looked = verification.find(verification.with_keys(rows).get(pk=domain.pk), ask)
        row = rows.get(pk=domain.pk)
        verification.settle(row, looked, NOW + timedelta(minutes=minutes), by=by)


def state(key: DkimKey) -> str:
    with build.as_owner():
        key.refresh_from_db()
    if key.retired_at:
        return "retired"
    return "signs" if key.signs_since else "waiting"


def acts() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


@pytest.mark.behaviour(39)
def test_keys_are_made_with_names_of_their_own_and_sealed(domain: SendingDomain, bo: User) -> None:
    keys = make(domain, bo)
    assert [key.algorithm for key in keys] == ["rsa", "ed25519"]
    assert len({key.selector for key in keys}) == 2
    for made in keys:
        assert made.selector.startswith("bd")
        assert len(made.selector) == 10
        assert made.selector.isalnum()
        assert state(made) == "waiting"
        with build.as_owner():
            sealed = bytes(DkimSecret.objects.get(key=made).sealed)
        assert dkim.written(key(dkim.Algorithm(made.algorithm)).secret)[-32:] not in sealed
    assert acts() == ["key.made", "key.made"]


def test_portal_cannot_read_what_it_sealed(domain: SendingDomain, bo: User) -> None:
    make(domain, bo)
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('web', 'relay_dkimsecret', 'SELECT')")
        assert cursor.fetchone() == (False,)


@pytest.mark.behaviour(39)
def test_key_signs_after_two_looks_apart(domain: SendingDomain, bo: User) -> None:
    rsa, other = make(domain, bo)
    look(domain, publishing(rsa))
    assert state(rsa) == "waiting"
    look(domain, publishing(rsa), minutes=9)
    assert state(rsa) == "waiting"
    look(domain, publishing(rsa), minutes=10)
    assert (state(rsa), state(other)) == ("signs", "waiting")
    assert rsa.signs_since == NOW + timedelta(minutes=10)


def test_looks_between_which_the_record_was_gone_do_not_add_up(
    domain: SendingDomain, bo: User
) -> None:
    (rsa,) = make(domain, bo, RSA)
    look(domain, publishing(rsa))
    look(domain, publishing(), minutes=5)
    look(domain, publishing(rsa), minutes=11)
    assert state(rsa) == "waiting"
    look(domain, silent, minutes=15)
    look(domain, publishing(rsa), minutes=21)
    assert state(rsa) == "signs"


def test_person_who_asks_need_not_wait(domain: SendingDomain, bo: User) -> None:
    (rsa,) = make(domain, bo, RSA)
    look(domain, publishing(), by=bo)
    look(domain, publishing(rsa, test=True), by=bo)
    assert state(rsa) == "waiting"
    look(domain, publishing(rsa), by=bo)
    assert state(rsa) == "signs"
    assert acts() == ["key.made", "key.rotated"]


@pytest.mark.behaviour(39)
def test_old_key_signs_until_the_new_one_was_seen(domain: SendingDomain, bo: User) -> None:
    (old,) = make(domain, bo, RSA)
    look(domain, publishing(old), by=bo)
    (new,) = make(domain, bo, RSA)
    assert new.selector != old.selector
    for minutes in (60, 120):
        look(domain, publishing(old), minutes=minutes)
        assert (state(old), state(new)) == ("signs", "waiting")
    look(domain, publishing(old, new), minutes=180, by=bo)
    assert (state(old), state(new)) == ("retired", "signs")
    assert old.retired_at == new.signs_since == NOW + timedelta(minutes=180)


def test_each_kind_of_key_goes_its_own_way(domain: SendingDomain, bo: User) -> None:
    rsa, second = make(domain, bo)
    look(domain, publishing(rsa, second), by=bo)
    assert (state(rsa), state(second)) == ("signs", "signs")
    (new,) = make(domain, bo, RSA)
    look(domain, publishing(rsa, second, new), by=bo)
    assert (state(rsa), state(second), state(new)) == ("retired", "signs", "signs")


def test_no_more_keys_are_made_while_such_wait(domain: SendingDomain, bo: User) -> None:
    rsa, _ = make(domain, bo)
    with pytest.raises(dkimkeys.KeysWait):
        make(domain, bo)
    look(domain, publishing(rsa), by=bo)
    assert [key.algorithm for key in make(domain, bo)] == ["rsa"]


@pytest.mark.behaviour(39)
def test_key_whose_record_is_gone_signs_on_for_three_days(domain: SendingDomain, bo: User) -> None:
    (rsa,) = make(domain, bo, RSA)
    look(domain, publishing(rsa), by=bo)
    day = 24 * 60
    for minutes in (60, 3 * day - 1):
        look(domain, publishing(), minutes=minutes)
        assert state(rsa) == "signs"
    look(domain, publishing(), minutes=3 * day)
    assert state(rsa) == "waiting"
    assert acts()[-1] == "key.pending"
    look(domain, publishing(rsa), minutes=3 * day + 60)
    look(domain, publishing(rsa), minutes=3 * day + 120)
    assert state(rsa) == "signs"


def test_record_under_test_is_there(domain: SendingDomain, bo: User) -> None:
    (rsa,) = make(domain, bo, RSA)
    look(domain, publishing(rsa), by=bo)
    look(domain, publishing(rsa, test=True), minutes=9 * 24 * 60)
    assert state(rsa) == "signs"
    with build.as_owner():
        assert DomainRecord.objects.get(key=rsa).state == "weak"


def test_stopped_key_does_not_push_a_newer_one_out(domain: SendingDomain, bo: User) -> None:
    (old,) = make(domain, bo, RSA)
    look(domain, publishing(old), by=bo)
    (new,) = make(domain, bo, RSA)
    look(domain, publishing(), minutes=5 * 24 * 60)
    assert state(old) == "waiting"
    look(domain, publishing(new), by=bo)
    look(domain, publishing(old, new), by=bo)
    assert (state(old), state(new)) == ("retired", "signs")


def test_key_that_signs_is_not_removed(domain: SendingDomain, bo: User) -> None:
    rsa, second = make(domain, bo)
    look(domain, publishing(rsa), by=bo)
    with build.as_owner():
        rsa.refresh_from_db()
    with organisation_context(domain.organisation_id, person_id=bo.id):
        with pytest.raises(dkimkeys.KeySigns):
            dkimkeys.remove(rsa, by=by(bo))
        dkimkeys.retire(rsa, by=by(bo))
        dkimkeys.remove(rsa, by=by(bo))
        dkimkeys.remove(second, by=by(bo))
    assert acts()[-3:] == ["key.ended", "key.removed", "key.removed"]
    with build.as_owner():
        assert not DkimSecret.objects.exists()


@pytest.mark.as_role("duty")
def test_private_half_of_a_retired_key_is_destroyed(domain: SendingDomain, bo: User) -> None:
    with build.as_owner(), organisation_context(domain.organisation_id, person_id=bo.id):
        rsa, second = dkimkeys.make(domain, [key(RSA).secret, key(ED25519).secret], by=by(bo))
    with build.as_owner():
        DkimKey.objects.filter(pk=rsa.pk).update(signs_since=NOW, retired_at=NOW)
    assert dkimkeys.forget_secrets(NOW + timedelta(minutes=9)) == 0
    assert dkimkeys.forget_secrets(NOW + timedelta(minutes=10)) == 1
    assert list(DkimSecret.objects.values_list("key_id", flat=True)) == [second.id]


def test_development_names_need_no_record(
    domain: SendingDomain, bo: User, settings: Settings
) -> None:
    settings.RELAY_DEVELOPMENT_DOMAINS = True
    (rsa,) = make(domain, bo, RSA)
    look(domain, silent, by=bo)
    assert state(rsa) == "signs"
