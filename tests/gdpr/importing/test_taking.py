# SPDX-License-Identifier: AGPL-3.0-or-later
"""A package taken over: the plan says what happens, and what comes out again is what came in."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from accounts import limits
from accounts.models import AuditEvent, Organisation, Role, User
from accounts.refusals import Refused
from accounts.tenancy import person_context
from gdpr import packages, packing, retention
from gdpr.importing import planning, reading, taking, unpacking
from gdpr.importing.planning import Fate, Plan
from gdpr.models import Import, Package, Request, RequestedRight, Right
from gdpr.models.imports import PROPOSAL_HOURS
from gdpr.registry import Cadence
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.importing import parcels

pytestmark = pytest.mark.django_db


def hold(person: User, package: bytes, now: Any = build.NOW) -> Import:
    with person_context(person.pk):
        return taking.hold(package, person, now)


def take(person: User, package: bytes) -> Plan:
    hold(person, package)
    with person_context(person.pk):
        return taking.take(person, build.NOW)


def test_account_keeps_so_many_and_no_more(anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "MOST_TAKEN", 2)
    take(anna, parcels.parcel())
    take(anna, parcels.parcel())
    with pytest.raises(taking.Enough):
        hold(anna, parcels.parcel())
    assert [row.proposed_at for row in rows()] == [None, None]


def fresh(person: User) -> User:
    with build.as_owner():
        return User.objects.get(pk=person.pk)


def rows() -> list[Import]:
    with build.as_owner():
        return list(Import.objects.order_by("pk"))


def test_plan_says_what_is_written_what_is_so_and_what_is_kept(anna: User) -> None:
    held = hold(anna, parcels.parcel())
    with person_context(anna.pk):
        made = planning.plan(held.records, anna)
    by_fate = {fate: [line.value for line in lines] for fate, lines in planning.lines_by_fate(made)}
    assert by_fate == {
        Fate.WRITTEN: ["Direktør", "+45 11 22 33 44", "en", "Europe/London"],
        Fate.SAME: ["anna@due.example", "Anna", "Due"],
        Fate.KEPT: ["2026-01-02T03:04:05Z", "2025-01-02T03:04:05Z", "1 record", "2 records"],
    }
    assert fresh(anna).title == ""
    assert rows()[0].taken_at is None


def test_taking_writes_what_the_plan_says_and_is_recorded(anna: User) -> None:
    take(anna, parcels.parcel())
    after = fresh(anna)
    assert (after.title, after.phone, after.language) == ("Direktør", "+45 11 22 33 44", "en")
    assert (after.email, after.last_login) == ("anna@due.example", None)
    (row,) = rows()
    assert (row.proposed_at, row.taken_at) == (None, build.NOW)
    assert [record["table"] for record in row.records] == [
        "accounts.User", "accounts.Membership", "gdpr.RequestedRight", "gdpr.RequestedRight",
    ]  # fmt: skip
    assert row.records[0]["row"].keys() == {"last_login", "created_at"}
    with build.as_owner():
        acts = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert acts == ["person.rectified", "person.imported"]


def test_second_time_changes_nothing(anna: User) -> None:
    take(anna, parcels.parcel())
    made = take(fresh(anna), parcels.parcel())
    assert made.changes_nothing
    assert {line.fate for line in made.lines} == {Fate.SAME}
    kept = [record for row in rows() for record in row.records]
    assert len(kept) == 4


def test_value_that_the_page_would_not_take_is_kept(anna: User) -> None:
    odd = {"language": "tlh", "time_zone": "Mars/Base", "phone": "0" * 41, "title": "Chef"}
    made = take(anna, parcels.of({"accounts.User": [parcels.ANNA | odd]}))
    after = fresh(anna)
    assert (after.title, after.language, after.phone) == ("Chef", "da", "")
    refused = {str(line.value) for line in made.lines if line.because == planning.REFUSED}
    assert refused == {"tlh", "Mars/Base", "0" * 41}
    (record,) = rows()[0].records
    assert record["row"].items() >= {"language": "tlh", "phone": "0" * 41}.items()


HOUSE = {
    "name": "Duehuset ApS", "address": "Dueslaget 7", "postcode": "8000", "city": "Aarhus",
    "country": "DK", "vat_number": "", "created_at": "2025-01-02T03:04:05Z",
}  # fmt: skip


OWN = {"accounts.User": [{"email": "anna@due.example"}]}


def test_owner_takes_over_their_organisation(anna: User, organisation: Organisation) -> None:
    take(anna, parcels.of({"accounts.User": [parcels.ANNA], "accounts.Organisation": [HOUSE]}))
    with build.as_owner():
        organisation.refresh_from_db()
        acts = set(AuditEvent.objects.values_list("action", flat=True))
    assert (organisation.address, organisation.city) == ("Dueslaget 7", "Aarhus")
    assert "organisation.rectified" in acts


def test_second_record_of_an_organisation_does_not_write_over_the_first(
    anna: User, organisation: Organisation
) -> None:
    again = HOUSE | {"city": "Odense"}
    made = take(anna, parcels.of(OWN | {"accounts.Organisation": [HOUSE, again]}))
    with build.as_owner():
        organisation.refresh_from_db()
    assert organisation.city == "Aarhus"
    assert [record["row"] for record in made.kept][-1] == again


@pytest.mark.parametrize("role", [role for role in Role if role != Role.OWNER])
def test_who_does_not_own_it_writes_nothing_there(
    anna: User, bo: User, organisation: Organisation, role: Role
) -> None:
    with build.as_owner():
        bo.memberships.update(role=role)
    own = parcels.ANNA | {"email": bo.email}
    take(bo, parcels.of({"accounts.User": [own], "accounts.Organisation": [HOUSE]}))
    with build.as_owner():
        organisation.refresh_from_db()
    assert organisation.address == ""
    assert "accounts.Organisation" in [record["table"] for record in rows()[0].records]


def test_owner_who_is_not_let_in_yet_writes_nothing_there(
    anna: User, bo: User, organisation: Organisation
) -> None:
    with build.as_owner():
        bo.memberships.update(role=Role.OWNER, approved_at=None)
    own = parcels.ANNA | {"email": bo.email}
    made = take(bo, parcels.of({"accounts.User": [own], "accounts.Organisation": [HOUSE]}))
    assert made.organisations == {}


def test_another_firm_and_a_wrong_number_are_not_written(
    anna: User, organisation: Organisation
) -> None:
    with build.as_owner():
        Organisation.objects.filter(pk=organisation.pk).update(vat_number="20000007")
    other = HOUSE | {"vat_number": "30000006"}
    made = take(
        anna,
        parcels.of({"accounts.User": [{"email": anna.email}], "accounts.Organisation": [other]}),
    )
    assert made.organisations == {}
    with build.as_owner():
        Organisation.objects.filter(pk=organisation.pk).update(vat_number="")
    wrong = HOUSE | {"vat_number": "12345678"}
    made = take(
        anna,
        parcels.of({"accounts.User": [{"email": anna.email}], "accounts.Organisation": [wrong]}),
    )
    assert "vat_number" not in made.organisations[organisation]


@pytest.mark.parametrize(
    "tables",
    [
        {"accounts.User": [parcels.ANNA | {"email": "bo@krog.example"}]},
        {"accounts.User": [{"first_name": "Anna"}]},
        {"accounts.User": [parcels.ANNA, parcels.ANNA | {"email": "bo@krog.example"}]},
        {"accounts.Membership": []},
        {},
    ],
)
def test_package_of_somebody_else(anna: User, tables: dict[str, Any]) -> None:
    with pytest.raises(reading.AnotherPerson):
        hold(anna, parcels.of(tables))
    assert rows() == []


@pytest.mark.parametrize(
    ("package", "refusal"),
    [
        (b"PK", reading.Damaged),
        (parcels.zipped({"x": b""}), reading.NoPackage),
        (parcels.parcel(None, version=2), reading.Newer),
        (parcels.parcel(None, made_at="yesterday"), reading.NoPackage),
        (parcels.parcel(None, made_at="2026-11-20T12:00:00"), reading.NoPackage),
        (parcels.of({"accounts.User": [parcels.ANNA | {"is_staff": True}]}), reading.NoPackage),
        (parcels.of({"accounts.User": [parcels.ANNA | {"title": "a\0b"}]}), reading.NoPackage),
        (parcels.of({"accounts.User": [parcels.ANNA], "auth.Group": [{}]}), reading.NoPackage),
        (
            parcels.of({"accounts.User": [parcels.ANNA], "accounts.Session": [{}]}),
            reading.NoPackage,
        ),
        (parcels.parcel({"data/a-b-1.json": b" " * 9_000_000}), reading.TooLarge),
        (b"\0" * (reading.LARGEST + 1), reading.TooLarge),
    ],
)
def test_hostile_package_writes_nothing(anna: User, package: bytes, refusal: type[Refused]) -> None:
    before = fresh(anna)
    with pytest.raises(refusal) as told:
        hold(anna, package)
    assert "@" not in str(told.value)
    assert rows() == []
    assert (
        fresh(anna).__dict__.items()
        >= {name: value for name, value in before.__dict__.items() if name != "_state"}.items()
    )


def test_earlier_import_in_a_package_holds_no_more_than_a_package_may(anna: User) -> None:
    many = [{"table": "gdpr.RequestedRight", "row": {"details": ""}}] * unpacking.MOST_RECORDS
    brought = {"records": many, "made_at": "2026-01-02T03:04:05Z", "taken_at": None}
    with pytest.raises(reading.TooLarge):
        hold(anna, parcels.of(OWN | {"gdpr.Import": [brought]}))


def test_many_records_are_compared_with_as_many_at_once() -> None:
    def records(word: str) -> list[dict[str, Any]]:
        rows = ({"details": f"{word} {number}"} for number in range(10_000))
        return [{"table": "gdpr.RequestedRight", "row": row} for row in rows]

    made = Plan(planning.Earlier(records("before")))
    begun = time.process_time()
    made.add_records("gdpr.RequestedRight", records("now"))
    assert time.process_time() - begun < 2
    assert len(made.kept) == 10_000


def test_formula_stays_a_text(anna: User) -> None:
    take(anna, parcels.of({"accounts.User": [parcels.ANNA | {"title": "=cmd|' /C calc'!A0"}]}))
    assert fresh(anna).title == "=cmd|' /C calc'!A0"


def test_a_new_package_takes_the_place_of_one_that_waits(anna: User) -> None:
    hold(anna, parcels.parcel())
    second = hold(anna, parcels.parcel())
    assert [row.pk for row in rows()] == [second.pk]
    with person_context(anna.pk):
        taking.throw_away(anna)
        with pytest.raises(taking.NothingHeld):
            taking.take(anna, build.NOW)
    assert rows() == []


def test_many_uploads_are_limited(anna: User) -> None:
    for _ in range(20):
        limits.check(reading.IMPORTS, str(anna.pk))
    with pytest.raises(limits.TooMany):
        hold(anna, parcels.parcel())


def test_stranger_sees_nothing_of_it(anna: User, carl: User) -> None:
    hold(anna, parcels.parcel())
    with person_context(carl.pk):
        assert not Import.objects.exists()
        with pytest.raises(taking.NothingHeld):
            taking.held(carl)


@pytest.mark.as_role("duty")
def test_what_waits_for_a_yes_is_forgotten_and_what_was_taken_stays(anna: User) -> None:
    for values in ({"proposed_at": build.NOW}, {"taken_at": build.NOW}):
        Import.objects.create(person=anna, records=[], made_at=build.NOW, **values)
    retention.run(build.NOW + timedelta(hours=PROPOSAL_HOURS), Cadence.HOURLY)
    assert [row.taken_at for row in Import.objects.all()] == [build.NOW]


@pytest.mark.as_role("duty")
class TestRoundTrip:
    """Out of one installation, into another that knows the person by their address alone."""

    @pytest.fixture
    def package(self, clock: Clock, everything: None, anna: User) -> bytes:
        with build.as_owner():
            User.objects.filter(pk=anna.pk).update(
                title="Direktør", phone="+45 11 22 33 44", language="en", last_login=build.NOW
            )
            Organisation.objects.filter(name="Duehuset ApS").update(address="Dueslaget 7")
            RequestedRight.objects.update(details="=Alt om mig")
        return self.exported(anna)

    def exported(self, person: User) -> bytes:
        with build.as_owner():
            Request.objects.filter(rights__right=Right.PORTABILITY).delete()
        asked = build.request_of(User.objects.get(pk=person.pk), Right.PORTABILITY)
        asked.rights.update(state=RequestedRight.State.ACT)
        package = build.package_of(asked)
        assert packing.pack_due() == 1
        return b"".join(packages.read(Package.objects.get(pk=package.pk), build.NOW))

    def anew(self, anna: User) -> User:
        """The same person in an installation that has nothing of them yet."""
        with build.as_owner():
            Organisation.objects.filter(name="Duehuset ApS").update(name="Et andet hus")
            User.objects.filter(pk=anna.pk).update(email=f"{anna.pk}@due.example")
        again = build.person("Anna", "Due")
        build.member(build.organisation("Duehuset ApS"), again, Role.OWNER)
        return again

    def records(self, package: bytes) -> Counter[str]:
        """What a package has, each value by itself where a row was merged with one here."""
        found: Counter[str] = Counter()
        with zipfile.ZipFile(io.BytesIO(package)) as book:
            names = [name for name in book.namelist() if name.startswith("data/")]
            whole = [json.loads(book.read(name)) for name in names]
        flat = [{"table": part["table"], "row": row} for part in whole for row in part["rows"]]
        for record in reading._flat(flat):
            for name, value in record["row"].items():
                if value not in (None, ""):
                    found[json.dumps([record["table"], name, value])] += 1
        return found

    def test_import_gives_back_the_same_records(self, package: bytes, anna: User) -> None:
        before, again = self.records(package), self.anew(anna)
        assert before - self.records(self.exported(again)), "the new installation knows it all"
        hold(again, package)
        with person_context(again.pk):
            taking.take(again, build.NOW)
        after = self.exported(again)
        assert before - self.records(after) == Counter()
        # And once more, from there: nothing is lost on the second way, nothing doubled.
        third = self.records(self.exported(self.moved_on(again, after)))
        assert self.records(after) - third == Counter()

    def moved_on(self, person: User, package: bytes) -> User:
        next_one = self.anew(person)
        hold(next_one, package)
        with person_context(next_one.pk):
            taking.take(next_one, build.NOW)
        return next_one
