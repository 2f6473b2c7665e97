# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import time
from datetime import timedelta
from zlib import crc32

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from accounts.models import Organisation
from accounts.tenancy import organisation_context
from accounts.turns import LOCK_CLASS
from relay import verification
from relay.models import SendingDomain
from tests import build
from tests.build import NOW
from tests.testbed.dns import Failure, NameServer

pytestmark = pytest.mark.django_db

State, Reason = SendingDomain.State, SendingDomain.Reason


def domain(organisation: Organisation, name: str = "due.example") -> SendingDomain:
    with organisation_context(organisation.id):
        return verification.add(organisation.id, name, NOW)


def answers(*values: str) -> verification.Lookup:
    return lambda name: list(values)


def silent(name: str) -> list[str]:
    raise verification.Unreachable


def check(item: SendingDomain, lookup: verification.Lookup, *, hours: float = 0) -> tuple[str, str]:
    with organisation_context(item.organisation_id):
        verification.check(item, NOW + timedelta(hours=hours), lookup)
        item.refresh_from_db()
    return item.state, item.reason


def test_record_names_what_to_publish(organisation: Organisation) -> None:
    item = domain(organisation)
    assert verification.record(item).name == "_brevdue.due.example"
    assert len(verification.record(item).value) == 32


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["v=spf1 -all"], ("pending", "wrong_value")),
        ([], ("pending", "not_found")),
    ],
)
def test_domain_without_proof_is_pending_with_the_reason(
    organisation: Organisation, values: list[str], expected: tuple[str, str]
) -> None:
    assert check(domain(organisation), answers(*values)) == expected


def test_silent_name_servers_prove_nothing(organisation: Organisation) -> None:
    assert check(domain(organisation), silent) == ("pending", "unreachable")


def test_record_among_others_proves(organisation: Organisation) -> None:
    item = domain(organisation)
    assert check(item, answers("other", item.token)) == ("verified", "")
    assert item.verified_at == NOW


@pytest.mark.parametrize("lookup", [answers(), answers("wrong"), silent])
def test_sending_ends_72_hours_after_the_proof_disappeared(
    organisation: Organisation, lookup: verification.Lookup
) -> None:
    item = domain(organisation)
    check(item, answers(item.token))
    assert check(item, lookup, hours=1)[0] == "failing"
    assert check(item, lookup, hours=71.9)[0] == "failing"
    assert item.verified_at == NOW
    assert check(item, lookup, hours=72)[0] == "pending"


def test_proof_that_comes_back_counts_again(organisation: Organisation) -> None:
    item = domain(organisation)
    check(item, answers(item.token))
    check(item, answers(), hours=1)
    assert check(item, answers(item.token), hours=2) == ("verified", "")
    assert item.verified_at == NOW + timedelta(hours=2)


def test_name_has_one_owner_and_is_free_afterwards(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    mine, theirs = domain(organisation), domain(other_organisation)
    check(mine, answers(mine.token))
    assert check(theirs, answers(theirs.token)) == ("pending", "taken")
    assert theirs.verified_at is None
    check(mine, answers(), hours=100)
    assert check(theirs, answers(theirs.token), hours=101) == ("verified", "")


@pytest.mark.parametrize(
    ("name", "believed"),
    [("due.example", True), ("due.test", True), ("example.invalid", False), ("dueexample", False)],
)
def test_reserved_names_count_as_proven_in_development_only(
    organisation: Organisation, settings: Settings, name: str, believed: bool
) -> None:
    item = domain(organisation, name)
    assert check(item, answers())[0] == "pending"
    settings.RELAY_DEVELOPMENT_DOMAINS = True
    assert check(item, answers())[0] == ("verified" if believed else "pending")
    assert (item.reason == Reason.DEVELOPMENT) is believed


@pytest.mark.as_role("duty")
def test_recheck_reaches_every_proven_domain(
    organisation: Organisation, other_organisation: Organisation, settings: Settings
) -> None:
    # Development believes .example, so these stand below another reserved name (RFC 6761 §6.4).
    settings.RELAY_DEVELOPMENT_DOMAINS = True
    with build.as_owner():
        for owner, name, state in [
            (organisation, "due.invalid", State.VERIFIED),
            (other_organisation, "andet.invalid", State.FAILING),
            (organisation, "ny.invalid", State.PENDING),
        ]:
            SendingDomain.objects.create(
                organisation=owner, name=name, token="x", state=state, created_at=NOW,
                verified_at=NOW,
            )  # fmt: skip
        SendingDomain.objects.create(
            organisation=organisation, name="due.example", token="x", state=State.VERIFIED,
            reason=Reason.DEVELOPMENT, created_at=NOW, verified_at=NOW,
        )  # fmt: skip
    assert verification.recheck(NOW + timedelta(hours=1), answers()) == 2
    assert set(SendingDomain.objects.values_list("name", "state")) == {
        ("due.invalid", "failing"), ("andet.invalid", "failing"), ("ny.invalid", "pending"),
        ("due.example", "verified"),
    }  # fmt: skip


def proven(organisation: Organisation, name: str) -> SendingDomain:
    with build.as_owner():
        return SendingDomain.objects.create(
            organisation=organisation, name=name, token="x", state=State.VERIFIED, created_at=NOW,
            verified_at=NOW,
        )  # fmt: skip


def states() -> set[tuple[str, str]]:
    return set(SendingDomain.objects.values_list("name", "state"))


@pytest.mark.as_role("duty")
def test_domain_removed_during_its_look_does_not_stop_the_next(organisation: Organisation) -> None:
    first, second = proven(organisation, "due.invalid"), proven(organisation, "andet.invalid")

    def removing(name: str) -> list[str]:
        if name.endswith("due.invalid"):
            with build.as_owner():
                SendingDomain.objects.filter(pk=first.pk).delete()
        return []

    assert verification.recheck(NOW + timedelta(hours=1), removing) == 1
    assert states() == {(second.name, "failing")}


@pytest.mark.as_role("duty")
def test_what_a_person_found_meanwhile_stands(organisation: Organisation) -> None:
    domain = proven(organisation, "due.invalid")

    def verified_meanwhile(name: str) -> list[str]:
        with build.as_owner():
            SendingDomain.objects.filter(pk=domain.pk).update(checked_at=NOW)
        return []

    assert verification.recheck(NOW + timedelta(hours=1), verified_meanwhile) == 0
    assert states() == {("due.invalid", "verified")}


@pytest.mark.as_role("duty")
def test_recheck_ends_in_time_and_goes_on_with_those_that_waited(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        proven(organisation, f"nr{number}.invalid")
    monkeypatch.setattr(verification, "RUN_SECONDS", 0.1)

    def slow(name: str) -> list[str]:
        time.sleep(0.15)
        return []

    for minute in range(3):
        assert verification.recheck(NOW + timedelta(minutes=minute), slow) == 1
    assert {state for _, state in states()} == {"failing"}
    assert verification.recheck(NOW + timedelta(minutes=54), slow) == 0


@pytest.mark.as_role("duty")
def test_recheck_runs_in_one_worker_at_a_time(organisation: Organisation) -> None:
    proven(organisation, "due.invalid")
    other = connections.create_connection("default")
    lock = (LOCK_CLASS, crc32(b"recheck-domains") & 0x7FFFFFFF)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", lock)
            assert verification.recheck(NOW, answers()) == 0
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)
        assert verification.recheck(NOW, answers()) == 1
    finally:
        other.close()


@pytest.mark.parametrize(
    ("zone", "failure", "expected"),
    [
        ('_brevdue.due.example. 60 IN TXT "{token}"', None, ("verified", "")),
        ('_brevdue.due.example. 60 IN TXT "{half}" "{rest}"', None, ("verified", "")),
        ('_brevdue.due.example. 60 IN TXT "x"', None, ("pending", "wrong_value")),
        ('due.example. 60 IN TXT "{token}"', None, ("pending", "not_found")),
        ("", None, ("pending", "not_found")),
        ("", Failure.SERVFAIL, ("pending", "unreachable")),
        ("", Failure.TIMEOUT, ("pending", "unreachable")),
        ('_brevdue.due.example. 60 IN TXT "{token}"', Failure.TRUNCATED, ("verified", "")),
    ],
)
def test_record_is_read_from_real_name_servers(
    organisation: Organisation,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
    failure: Failure | None,
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr(verification, "LOOKUP_SECONDS", 1.0)
    item = domain(organisation)
    text = zone.format(token=item.token, half=item.token[:9], rest=item.token[9:])
    with NameServer(text) as name_server:
        name_server.fail("", failure)
        settings.RELAY_RESOLVER = [name_server.server]
        assert check(item, verification.resolver_lookup()) == expected
