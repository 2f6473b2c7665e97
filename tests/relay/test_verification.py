# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zlib import crc32

import pytest
from django.db import connections
from django.db.models import QuerySet
from pytest_django.fixtures import Settings

from accounts import vault
from accounts.models import AuditEvent, Organisation, OutgoingMail, Role, User
from accounts.tenancy import organisation_context
from accounts.turns import LOCK_CLASS
from relay import nameservers, verification
from relay.models import SendingDomain
from relay.nameservers import Ask, Unreachable
from tests import build
from tests.build import NOW
from tests.testbed.dns import Failure, NameServer

pytestmark = pytest.mark.django_db

State, Reason = SendingDomain.State, SendingDomain.Reason


def domain(organisation: Organisation, name: str = "due.example") -> SendingDomain:
    with organisation_context(organisation.id):
        return verification.add(organisation.id, name, NOW)


def answers(*values: str) -> Ask:
    """Name servers that have these texts where the proof stands, and nothing else."""

    async def ask(name: str, kind: str) -> list[str]:
        return list(values) if name.startswith("_brevdue.") else []

    return ask


async def silent(name: str, kind: str) -> list[str]:
    raise Unreachable


def check(
    item: SendingDomain, ask: Ask, *, hours: float = 0, by: User | None = None
) -> tuple[str, str]:
    with organisation_context(item.organisation_id, person_id=by.id if by else None):
        rows = SendingDomain.objects.for_organisation(item.organisation_id)
        looked = verification.find(verification.with_keys(rows).get(pk=item.pk), ask)
        item.refresh_from_db()
        verification.settle(item, looked, NOW + timedelta(hours=hours), by=by)
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


@pytest.mark.parametrize("ask", [answers(), answers("wrong")])
def test_sending_ends_72_hours_after_the_proof_disappeared(
    organisation: Organisation, ask: Ask
) -> None:
    item = domain(organisation)
    check(item, answers(item.token))
    assert check(item, ask, hours=1)[0] == "failing"
    assert check(item, ask, hours=71.9)[0] == "failing"
    assert item.verified_at == NOW
    assert check(item, ask, hours=72)[0] == "pending"


@pytest.mark.behaviour(14)
@pytest.mark.parametrize("hours", [1, 73, 1000])
def test_silent_name_servers_take_no_domain_away(organisation: Organisation, hours: float) -> None:
    item = domain(organisation)
    check(item, answers(item.token))
    assert check(item, silent, hours=hours) == ("verified", "unreachable")
    assert item.verified_at == NOW
    assert check(item, answers(), hours=hours + 1)[0] == ("failing" if hours < 71 else "pending")


@pytest.mark.behaviour(14)
def test_silence_after_the_record_was_seen_gone_ends_nothing_either(
    organisation: Organisation,
) -> None:
    item = domain(organisation)
    check(item, answers(item.token))
    check(item, answers(), hours=1)
    assert check(item, silent, hours=80) == ("failing", "unreachable")


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
def test_recheck_reaches_every_domain(
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
                verified_at=None if state == State.PENDING else NOW,
            )  # fmt: skip
        SendingDomain.objects.create(
            organisation=organisation, name="due.example", token="x", state=State.VERIFIED,
            reason=Reason.DEVELOPMENT, created_at=NOW, verified_at=NOW,
        )  # fmt: skip
        SendingDomain.objects.create(
            organisation=organisation, name="ny.example", token="x", created_at=NOW
        )
    assert verification.recheck(NOW + timedelta(hours=1), answers()) == 3
    assert set(SendingDomain.objects.values_list("name", "state")) == {
        ("due.invalid", "failing"), ("andet.invalid", "failing"), ("ny.invalid", "pending"),
        ("due.example", "verified"), ("ny.example", "pending"),
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
def test_domain_removed_during_its_look_does_not_stop_the_next(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = proven(organisation, "due.invalid"), proven(organisation, "andet.invalid")
    before_writing(monkeypatch, lambda rows: rows.filter(pk=first.pk).delete())
    assert verification.recheck(NOW + timedelta(hours=1), answers()) == 1
    assert states() == {(second.name, "failing")}


def before_writing(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[QuerySet[SendingDomain]], object]
) -> None:
    """Let somebody else do this between a look and its writing."""
    write = verification._recheck

    def later(*arguments: Any) -> bool:
        with build.as_owner():
            act(SendingDomain.objects.all())
        return write(*arguments)

    monkeypatch.setattr(verification, "_recheck", later)


@pytest.mark.as_role("duty")
def test_what_a_person_found_meanwhile_stands(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven(organisation, "due.invalid")
    before_writing(monkeypatch, lambda rows: rows.update(checked_at=NOW))
    assert verification.recheck(NOW + timedelta(hours=1), answers()) == 0
    assert states() == {("due.invalid", "verified")}


@pytest.mark.as_role("duty")
def test_recheck_ends_in_time_and_goes_on_with_those_that_waited(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        proven(organisation, f"nr{number}.invalid")
    monkeypatch.setattr(verification, "AT_ONCE", 1)
    monkeypatch.setattr(verification, "RUN_SECONDS", 0.1)

    async def slow(name: str, kind: str) -> list[str]:
        await asyncio.sleep(0.15)
        return []

    for minute in range(3):
        assert verification.recheck(NOW + timedelta(minutes=minute), slow) == 1
    assert {state for _, state in states()} == {"failing"}
    assert verification.recheck(NOW + timedelta(minutes=54), slow) == 0


@pytest.mark.as_role("duty")
def test_silent_name_servers_are_waited_for_together(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        proven(organisation, f"nr{number}.invalid")
    monkeypatch.setattr(verification, "AT_ONCE", 10)
    asked: set[str] = set()
    most = 0

    async def silence(name: str, kind: str) -> list[str]:
        nonlocal most
        if name.startswith("_brevdue."):
            asked.add(name)
            most = max(most, len(asked))
            await asyncio.sleep(0.02)
            asked.remove(name)
        raise Unreachable

    assert verification.recheck(NOW + timedelta(hours=1), silence) == 25
    assert most == 10


@pytest.mark.as_role("duty")
@pytest.mark.parametrize(
    ("checks", "hours", "looked"),
    [
        (0, 1, True), (335, 1, True), (335, 0.5, False),
        (336, 1, False), (336, 24, True), (365, 24, True),
        (366, 24, False), (366, 5000, False),
    ],
)  # fmt: skip
def test_domain_that_was_never_proven_is_looked_at_more_and_more_rarely(
    organisation: Organisation, checks: int, hours: float, looked: bool
) -> None:
    row = proven(organisation, "due.invalid")
    with build.as_owner():
        SendingDomain.objects.filter(pk=row.pk).update(
            state=State.PENDING, checked_at=NOW, checks=checks, verified_at=None
        )
    assert verification.recheck(NOW + timedelta(hours=hours), answers()) == looked
    row.refresh_from_db()
    assert row.checks == checks + looked


@pytest.mark.as_role("duty")
def test_record_of_a_pending_domain_is_found_by_itself(organisation: Organisation) -> None:
    row = domain_of(organisation, "due.invalid")
    assert verification.recheck(NOW, answers(row.token)) == 1
    assert states() == {("due.invalid", "verified")}


def test_who_asks_is_looked_at_often_again(organisation: Organisation, anna: User) -> None:
    item = domain(organisation)
    for _ in range(3):
        check(item, answers())
    assert item.checks == 3
    check(item, answers(), by=anna)
    assert item.checks == 0


def domain_of(organisation: Organisation, name: str) -> SendingDomain:
    with build.as_owner():
        return verification.add(organisation.id, name, NOW)


def letters() -> list[dict[str, str]]:
    with build.as_owner():
        rows = OutgoingMail.objects.filter(kind="domain_failing").order_by("created_at")
        return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


def audited() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


@pytest.mark.as_role("duty")
def test_builders_are_told_once_that_the_proof_is_gone_and_once_that_it_is_lost(
    organisation: Organisation, bo: User
) -> None:
    build.member(organisation, build.person("Vera", "Kig"), Role.VIEWER)
    proven(organisation, "due.invalid")
    for hours in (1, 2, 71):
        verification.recheck(NOW + timedelta(hours=hours), answers())
        assert sorted(letter["to"] for letter in letters()) == [
            "anna@due.example", "bo@krog.example",
        ]  # fmt: skip
    # Anna and Bo read Danish.
    assert all("due.invalid, kan ikke ses" in letter["text"] for letter in letters())
    verification.recheck(NOW + timedelta(hours=73), answers())
    assert len(letters()) == 4
    assert audited() == ["domain.failing", "domain.pending"]


@pytest.mark.as_role("duty")
def test_silence_is_told_after_a_day(organisation: Organisation) -> None:
    proven(organisation, "due.invalid")
    for hours, told in ((1, 0), (23, 0), (24, 1), (25, 1)):
        verification.recheck(NOW + timedelta(hours=hours), silent)
        assert len(letters()) == told


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
    if failure is Failure.TIMEOUT:
        monkeypatch.setattr(nameservers, "LOOKUP_SECONDS", 1.0)
    item = domain(organisation)
    text = zone.format(token=item.token, half=item.token[:9], rest=item.token[9:])
    with NameServer(text) as name_server:
        name_server.fail("", failure)
        settings.RELAY_RESOLVER = [name_server.server]
        assert check(item, nameservers.asker()) == expected
