# SPDX-License-Identifier: AGPL-3.0-or-later
"""The answer to an access request, opened and read: whole, the person's own, nobody else's."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection
from jsonschema import Draft202012Validator

from accounts import vault
from accounts.models import (
    AuditActor,
    AuditEvent,
    Membership,
    Organisation,
    OutgoingMail,
    Role,
    User,
)
from dpa.models import AgreementEvent
from gdpr import extracts, inventory, packages, packing, subjects
from gdpr.extracts import Extract
from gdpr.models import (
    Correction,
    Import,
    Package,
    Release,
    Request,
    RequestedRight,
    Right,
    Step,
)
from gdpr.registry import Entry, Whose
from gdpr.rights import manifest
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.erasing import seeds
from tests.gdpr.pdf_conformance import faults

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = RequestedRight.State


def ordered(user: User, right: Right = Right.ACCESS) -> Package:
    asked = build.request_of(user, right)
    asked.rights.update(state=State.ACT)
    return build.package_of(asked)


def made(user: User, right: Right = Right.ACCESS) -> zipfile.ZipFile:
    package = ordered(user, right)
    assert packing.pack_due() == 1
    package.refresh_from_db()
    content = b"".join(packages.read(package, build.NOW))
    assert (len(content), sha256(content).hexdigest()) == (package.size, package.sha256)
    return zipfile.ZipFile(io.BytesIO(content))


def told_by(book: zipfile.ZipFile) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(book.read("manifest.json"))
    return told


def rows_of(book: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    name = table.replace(".", "-").lower()
    parts = [part for part in book.namelist() if part.startswith(f"json/{name}-")]
    return [row for part in parts for row in json.loads(book.read(part))["rows"]]


def test_package_is_whole_and_the_persons_own(
    clock: Clock, everything: None, anna: User, carl: User
) -> None:
    """One package, judged from every side: the sheet alone takes seconds to typeset."""
    book = made(anna)
    told = told_by(book)
    assert book.testzip() is None
    assert told["schema_version"] == 1
    Draft202012Validator(manifest.schema()).validate(told)
    _judge_digests(book, told)
    _judge_tables(book, told)
    _judge_forms(book)
    _judge_secrets(book, told, anna)
    _judge_answer()
    content = b"".join(book.read(name) for name in book.namelist())
    for mark in (carl.email, str(carl.id), "Fremmed", "Andet Hus"):
        assert mark.encode() not in content


def _judge_digests(book: zipfile.ZipFile, told: dict[str, Any]) -> None:
    named = {file["path"]: file for file in told["files"]}
    assert set(book.namelist()) == {*named, "manifest.json"}
    for path, file in named.items():
        content = book.read(path)
        assert file["sha256"] == sha256(content).hexdigest()
        assert file["octets"] == len(content)
    assert faults(book.read("access.pdf")) == []


def _judge_tables(book: zipfile.ZipFile, told: dict[str, Any]) -> None:
    counted = {table["table"]: table["rows"] for table in told["tables"]}
    assert set(counted) == {entry.model for entry in inventory.entries_about(Whose.PERSON)}
    assert counted["accounts.User"] == counted["accounts.TOTPDevice"] == 1
    given = {table["table"] for table in told["tables"] if table["fields"]}
    for table in given:
        assert len(rows_of(book, table)) == counted[table]


def _judge_forms(book: zipfile.ZipFile) -> None:
    text = book.read("csv/accounts-user-1.csv").decode("utf-8-sig")
    (line,) = csv.DictReader(io.StringIO(text))
    (row,) = rows_of(book, "accounts.User")
    assert line["email"] == row["email"] == "anna@due.example"
    assert line["is_active"] == "true"
    page = book.read("pages/accounts-user-1.html").decode()
    assert "anna@due.example" in page
    assert '<html lang="da">' in page


def _judge_secrets(book: zipfile.ZipFile, told: dict[str, Any], anna: User) -> None:
    withheld = {item["path"] for item in told["withheld"]}
    assert {"accounts.User.password", "accounts.TOTPDevice.sealed_key"} <= withheld
    anna.refresh_from_db()
    assert all(anna.password.encode() not in book.read(name) for name in book.namelist())


def _judge_answer() -> None:
    row = RequestedRight.objects.get(state=State.DONE)
    assert [step.kind for step in row.steps.all()] == ["received", "prepared", "done"]
    mail = OutgoingMail.objects.get(kind="gdpr/letter")
    letter = json.loads(vault.unseal(f"outgoing-mail|{mail.id}", mail.sealed))
    assert letter["to"] == "anna@due.example"
    assert f"/privacy/requests/{row.request_id}/" in letter["text"]


@pytest.fixture
def gerda(db: None, organisation: Organisation) -> User:
    """Has a row behind every path of the inventory."""
    return seeds.somebody("Gerda", "Første", organisation)


@pytest.fixture
def bodil(db: None, organisation: Organisation) -> User:
    """Has the same, in the same organisation."""
    return seeds.somebody("Bodil", "Anden", organisation)


def test_one_of_two_subjects_sees_nothing_of_the_other(gerda: User, bodil: User) -> None:
    """For each entry of the inventory: both have rows, and each gets their own alone."""
    Membership.objects.filter(user=bodil).update(approved_by=gerda)
    Membership.objects.filter(user=gerda).update(approved_by=bodil)
    for entry in inventory.entries_about(Whose.PERSON):
        _judge_separation(entry, gerda, bodil)


def _judge_separation(entry: Entry, *people: User) -> None:
    for user, other in (people, people[::-1]):
        extract = Extract(subjects.person(user))
        rows = [row for page in extract.pages(entry) for row in page]
        found = extract.count(entry)
        assert found, entry.model
        assert len(rows) == (found if extract.fields(entry) else 0), entry.model
        text = json.dumps(rows, ensure_ascii=False)
        assert [mark for mark in _marks(other) if mark in text] == [], entry.model


def _marks(user: User) -> list[str]:
    """What is only one person's: numbers, name and addresses."""
    numbers = [
        str(key)
        for entry in inventory.entries_about(Whose.PERSON)
        for key in subjects.rows(entry, subjects.person(user)).values_list("pk", flat=True)
        if isinstance(key, UUID) and entry.model in OWN_NUMBERS
    ]
    return [user.email, user.last_name, user.phone, *numbers]


# Tables whose number stands for one person; an organisation's is that of all who belong to it.
OWN_NUMBERS = ("accounts.User", "accounts.AuditActor", "gdpr.Request", "gdpr.RequestedRight")


# How Bo Krog, bo@krog.example, +45 70 10 20 30, can stand in a text.
TEXTS = (
    "Skriv til bo@krog.example",
    "Bo Krog sagde nej",
    "Ring 7010 2030",
    "/people/{id}/",
    "KROG, BO",
)
OF_BO = ("Bo", "Krog", "KROG", "krog", "7010 2030")
# Where words of anybody, or of the service about anybody, are kept of a person.
PLACES = (
    "gdpr.RequestedRight.details",
    "gdpr.RequestedRight.resolution",
    "gdpr.Step.reason",
    "gdpr.Correction.value",
    "gdpr.Correction.evidence",
    "gdpr.Release.reason",
    "gdpr.Import.records",
    "admin.LogEntry.object_repr",
    "admin.LogEntry.change_message",
    "dpa.AgreementEvent.evidence",
    "dpa.Agreement.facts",
)


def _put(place: str, text: str, asked: Request) -> None:
    """Have a text stand in a field of a row of the person who asked."""
    table, _, field = place.rpartition(".")
    person, right, at = asked.person, asked.rights.get(), build.NOW
    assert person is not None
    given: dict[str, Any] = {field: [text] if place == "dpa.AgreementEvent.evidence" else text}
    if table == "gdpr.RequestedRight":
        RequestedRight.objects.filter(pk=right.pk).update(**given)
    elif table == "gdpr.Step":
        Step.objects.create(right=right, kind="assess", by="staff", at=at, **given)
    elif table == "gdpr.Correction":
        Correction.objects.create(right=right, **given)
    elif table == "gdpr.Release":
        Release.objects.create(person=person, address="x@y.example", decided_at=at, **given)
    elif table == "gdpr.Import":
        records = [{"table": "x", "row": {"y": text}}]
        Import.objects.create(person=person, records=records, made_at=at, taken_at=at)
    elif table == "admin.LogEntry":
        LogEntry.objects.create(user=person, action_flag=CHANGE, **given)
    else:
        house = Organisation.objects.get(name="Duehuset ApS")
        facts = {"note": text} if field == "facts" else {}
        made = build.agreement(house, signatory=person, signatory_name="Anna Due", facts=facts)
        evidence = given.get("evidence", [])
        AgreementEvent.objects.create(
            organisation=house, agreement=made, sequence=1, at=at, act="offered",
            evidence=evidence, previous_digest=b"", digest=b"x",
        )  # fmt: skip


class TestOthers:
    """What belongs to another person is a word that is good in one package only."""

    @pytest.fixture
    def extract(self, organisation: Organisation, anna: User) -> Extract:
        return Extract(subjects.person(anna))

    def rows(self, extract: Extract, table: str) -> list[dict[str, Any]]:
        return [row for page in extract.pages(inventory.entry(table)) for row in page]

    def test_row_that_only_mentions_the_person_gives_that_alone(
        self, extract: Extract, organisation: Organisation, bo: User, anna: User
    ) -> None:
        Membership.objects.filter(user=bo).update(approved_by=anna)
        own, mention = self.rows(extract, "accounts.Membership")
        assert own["user"] == str(anna.id)
        assert mention == {"approved_by": str(anna.id)}

    def test_another_persons_number_becomes_a_word(
        self, extract: Extract, bo: User, anna: User
    ) -> None:
        Membership.objects.filter(user=anna).update(approved_by=bo)
        (own,) = self.rows(extract, "accounts.Membership")
        assert str(own["approved_by"]).startswith("person-")
        assert extract.pseudonyms.told() == [
            {"path": "accounts.Membership.approved_by", "reason": "another person", "count": 1}
        ]

    def test_words_are_the_same_within_a_package_and_others_in_the_next(
        self, extract: Extract, bo: User, anna: User
    ) -> None:
        Membership.objects.filter(user=anna).update(approved_by=bo)
        (first,) = self.rows(extract, "accounts.Membership")
        (again,) = self.rows(extract, "accounts.Membership")
        (other,) = self.rows(Extract(subjects.person(anna)), "accounts.Membership")
        assert first["approved_by"] == again["approved_by"] != other["approved_by"]

    def test_audit_shows_own_acts_and_acts_on_oneself_and_nobody_else(
        self, extract: Extract, organisation: Organisation, bo: User, anna: User
    ) -> None:
        with build.as_owner():
            actors = {
                user: AuditActor.objects.create(organisation=organisation, user=user)
                for user in (anna, bo)
            }
            for number, (actor, target) in enumerate([(anna, bo), (bo, anna), (bo, bo)]):
                AuditEvent.objects.create(
                    organisation=organisation, sequence=number, at=build.NOW, digest=b"x",
                    actor_id=actors[actor].id, action="person.viewed", previous_digest=b"",
                    target_type="accounts.User", target_id=str(actors[target].id), fields=[],
                )  # fmt: skip
        by_me, to_me = self.rows(extract, "accounts.AuditEvent")
        assert by_me["actor_id"] == to_me["target_id"] == str(actors[anna].id)
        assert str(by_me["target_id"]).startswith("person-")
        assert by_me["target_id"] == to_me["actor_id"]
        assert by_me["organisation"] == "Duehuset ApS"
        theirs = self.rows(Extract(subjects.person(bo)), "accounts.AuditEvent")
        assert len(theirs) == 3
        assert str(actors[anna].id) not in json.dumps(theirs)

    def test_both_of_two_get_what_was_done_to_them_by_others(
        self, organisation: Organisation
    ) -> None:
        """Named as person, member, signatory, guest, or by what they asked for."""
        people = [seeds.somebody(*names, organisation) for names in (("Gry", "A"), ("Bente", "B"))]
        numbers = [self._numbers(user) for user in people]
        assert not numbers[0] & numbers[1]
        for user, own in zip(people, numbers, strict=True):
            events = self.rows(Extract(subjects.person(user)), "accounts.AuditEvent")
            to_me = [event for event in events if event["actor_id"] not in own]
            assert {event["action"] for event in to_me} >= {
                "membership.role-changed", "signatory.named", "invitation.sent", "person.viewed",
                "request.viewed", "package.made",
            }  # fmt: skip
            assert all(str(event["actor_id"] or "person-").startswith("person-") for event in to_me)

    def _numbers(self, user: User) -> set[str]:
        rows = AuditActor.objects.filter(user=user)
        return {str(key) for key in rows.values_list("pk", flat=True)}

    def test_audit_events_are_found_by_indexes(self, extract: Extract, anna: User) -> None:
        found = subjects.rows(inventory.entry("accounts.AuditEvent"), extract.subject)
        assert found.exists() is False
        AuditActor.objects.create(user=anna)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = subjects.rows(inventory.entry("accounts.AuditEvent"), extract.subject).explain()
        assert "Seq Scan" not in plan
        assert {"auditevent_by_actor", "auditevent_by_target"} <= set(re.findall(r"\w+", plan))

    def test_addresses_in_texts_become_words(self, extract: Extract, anna: User) -> None:
        asked = build.request_of(anna)
        asked.rights.update(details="Anna@due.example, see erik@modtager.example.")
        (row,) = self.rows(extract, "gdpr.RequestedRight")
        assert str(row["details"]).startswith("Anna@due.example, see person-")
        assert "modtager" not in str(row["details"])

    def test_agreement_names_nobody_but_the_person(
        self, extract: Extract, organisation: Organisation, bo: User, anna: User
    ) -> None:
        with build.as_owner():
            build.agreement(organisation, signatory=bo, signatory_name=bo.get_full_name())
            build.agreement(organisation, signatory=anna)
        (his,) = self.rows(Extract(subjects.person(bo)), "dpa.Agreement")
        assert his["signatory_name"] == bo.get_full_name()
        assert anna.last_name not in json.dumps(his["facts"]["contacts"])
        (hers,) = self.rows(extract, "dpa.Agreement")
        assert hers["facts"]["contacts"]["controller"] == build.AGREED["contacts"]["controller"]

    def test_what_another_signed_is_given_without_their_name(
        self, extract: Extract, organisation: Organisation, bo: User, anna: User
    ) -> None:
        """As whoever an agreement names beside the one who signs gets it."""
        with build.as_owner():
            row = build.agreement(organisation, signatory=bo, signatory_name=bo.get_full_name())
        entry = inventory.entry("dpa.Agreement")
        (given,) = extract._values(entry, [row], ["signatory_name", "facts"])
        assert str(given["signatory_name"]).startswith("person-")
        facts = cast(dict[str, Any], given["facts"])
        assert facts["signatory"]["name"].startswith("person-")

    def test_who_is_released_is_shown_and_nobody_else(
        self, organisation: Organisation, bo: User, anna: User
    ) -> None:
        """By number, and by name in a text; the manifest names whom, why and how often."""
        stine = build.person("Stine", "Stab", is_staff=True)
        with build.as_owner():
            Membership.objects.filter(user=anna).update(approved_by=bo)
            asked = build.request_of(anna)
            asked.rights.update(details="Bo Krog og Stine Stab, 70102030")
            Release.objects.create(
                person=anna, address=bo.email, reason="Aftalt med Bo", decided_at=build.NOW
            )
        package = ordered(anna)
        extract = Extract(subjects.person(anna), pseudonyms=manifest.pseudonyms(package))
        (own,) = self.rows(extract, "accounts.Membership")
        assert own["approved_by"] == str(bo.id)
        words = [row["details"] for row in self.rows(extract, "gdpr.RequestedRight")]
        assert any(re.fullmatch(r"Bo Krog og person-\w+, 70102030", str(word)) for word in words)
        (told,) = manifest.told(package, extract, [], build.NOW)["released"]
        assert told == {
            "person": bo.email, "reason": "Aftalt med Bo", "decided_at": "2026-11-20T12:00:00Z",
            "count": 2,
        }  # fmt: skip
        other = Extract(subjects.person(bo), pseudonyms=manifest.pseudonyms(ordered(bo)))
        assert stine.last_name not in json.dumps(self.rows(other, "gdpr.RequestedRight"))

    def test_who_is_restricted_is_not_shown_though_released(
        self, organisation: Organisation, bo: User, anna: User
    ) -> None:
        with build.as_owner():
            Membership.objects.filter(user=anna).update(approved_by=bo)
            Release.objects.create(
                person=anna, address=bo.email, reason="Aftalt med Bo", decided_at=build.NOW
            )
            User.objects.filter(pk=bo.pk).update(restricted_at=build.NOW)
        package = ordered(anna)
        extract = Extract(subjects.person(anna), pseudonyms=manifest.pseudonyms(package))
        (own,) = self.rows(extract, "accounts.Membership")
        assert str(own["approved_by"]).startswith("person-")
        assert manifest.told(package, extract, [], build.NOW)["released"] == []

    def test_release_is_for_the_packages_of_one_person(
        self, organisation: Organisation, bo: User, anna: User
    ) -> None:
        with build.as_owner():
            Release.objects.create(person=anna, address=bo.email, reason="-", decided_at=build.NOW)
            ida = build.person("Ida", "Nabo")
            build.member(organisation, ida, Role.VIEWER)
        build.request_of(ida).rights.update(details="Bo Krog")
        extract = Extract(subjects.person(ida), pseudonyms=manifest.pseudonyms(ordered(ida)))
        words = [str(row["details"]) for row in self.rows(extract, "gdpr.RequestedRight")]
        assert any(word.startswith("person-") for word in words)
        assert "Bo Krog" not in words
        assert manifest.told(ordered(ida), extract, [], build.NOW)["released"] == []

    def test_who_has_left_is_hidden_still(
        self, extract: Extract, organisation: Organisation, bo: User, anna: User
    ) -> None:
        with build.as_owner():
            AuditActor.objects.create(organisation=organisation, user=bo)
            bo.memberships.all().delete()
        build.request_of(anna).rights.update(details="Bo Krog")
        (row,) = self.rows(extract, "gdpr.RequestedRight")
        assert str(row["details"]).startswith("person-")

    @pytest.mark.parametrize("text", TEXTS)
    @pytest.mark.parametrize("place", PLACES)
    def test_no_place_names_anybody_else(
        self, extract: Extract, bo: User, anna: User, place: str, text: str
    ) -> None:
        """Wherever words of anybody can stand, in whichever way another person stands in them."""
        asked = build.request_of(anna, Right.RECTIFICATION)
        text = text.format(id=bo.id)
        with build.as_owner():
            User.objects.filter(pk=bo.pk).update(phone="+45 70 10 20 30")
            _put(place, text, asked)
        table, _, field = place.rpartition(".")
        (value,) = [row[field] for row in self.rows(extract, table) if row.get(field)]
        written = json.dumps(value, ensure_ascii=False)
        assert "person-" in written
        assert [mark for mark in (*OF_BO, str(bo.id)) if mark in written] == []

    def test_pages_have_a_thousand_rows_at_most(
        self, extract: Extract, anna: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(extracts, "PAGE_ROWS", 2)
        for _ in range(5):
            build.request_of(anna)
        pages = list(extract.pages(inventory.entry("gdpr.Request")))
        assert [len(page) for page in pages] == [2, 2, 1]
        assert len({row["id"] for page in pages for row in page}) == 5
