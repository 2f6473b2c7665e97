# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a package about an address has, and what it has not: anybody else."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured

from accounts.ids import uuid7, uuid7_time
from accounts.models import Alert, Membership, Organisation, Role
from gdpr import packages as person_packages
from gdpr.correspondents import packages, packing
from gdpr.extracts import PAGE_ROWS
from gdpr.models import AddressPackage
from gdpr.models.packages import PACKAGE_DAYS
from gdpr.packages import PackageGone, path_of
from relay.models import Delivery, Message
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

State = AddressPackage.State
BO, IB = "bo@andre.example", "ib@andre.example"


@pytest.fixture
def by(house: Organisation) -> Membership:
    return build.member(house, build.person("Anna", "Due"), Role.OWNER)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> Clock:
    moved = Clock()
    moved.now = now
    monkeypatch.setattr("accounts.clock.now", moved)
    return moved


def _made(by: Membership, clock: Clock, address: str = ERIK) -> AddressPackage:
    package = packages.order(address, by=by, now=clock())
    assert packing.pack_due() == 1
    package.refresh_from_db()
    return package


def _opened(package: AddressPackage, clock: Clock) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(packages.read(package, clock()))))


def _text(book: zipfile.ZipFile) -> str:
    return "\n".join(book.read(name).decode("utf-8-sig") for name in book.namelist())


def _rows(book: zipfile.ZipFile, model: str) -> list[dict[str, Any]]:
    start = f"json/{model.replace('.', '-').lower()}-"
    names = [name for name in book.namelist() if name.startswith(start)]
    return [row for name in names for row in json.loads(book.read(name))["rows"]]


def test_own_rows_are_given_and_others_become_pseudonyms(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    header = (
        f'From: "Mette Møller" <{seeds.FIRM}>\nTo: Erik <{ERIK}>,\n "Bo Krog" <{BO}>\n'
        f"Cc: {IB} (Ib Holm)\nSubject: Til {BO}\n"
    )
    seeds.mail(house, earlier, ERIK, BO, IB, header=header, subject=f"Faktura, se {BO}")
    book = _opened(_made(by, clock), clock)
    text = _text(book)
    for other in (seeds.FIRM, BO, IB, "Mette", "Krog", "Ib Holm"):
        assert other not in text
    (delivery,) = _rows(book, "relay.Delivery")
    assert (delivery["recipient"], delivery["display_name"]) == (ERIK, "Erik")
    (mail,) = _rows(book, "relay.Message")
    assert mail["sender"].startswith("person-")
    assert mail["subject"].startswith("Faktura, se person-")
    (kept,) = _rows(book, "relay.MessageHeader")
    assert f"Erik <{ERIK}>" in kept["header"]
    assert len(_rows(book, "relay.Attempt")) == 1


@pytest.mark.parametrize(
    ("subject", "given"),
    [
        ("Mette Møller har svaret Bo Krog", "# har svaret #"),
        ("Til Krog, Bo og Erik Krog-Due", "Til # og Erik Krog-Due"),
        ("Faktura fra Due Faktura", "Faktura fra #"),
        ("Møller i Bo by", "Møller i Bo by"),
        ("Anna har ringet", "# har ringet"),
    ],
)
def test_names_that_the_mail_gives_are_found_in_its_words(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime, subject: str, given: str
) -> None:
    header = (
        f"From: =?utf-8?q?Mette_M=C3=B8ller?= <{seeds.FIRM}>\n"
        "Reply-To: Due Faktura <f@due.example>\n"
        f"To: Erik Krog-Due <{ERIK}>, Bo Krog <{BO}>\nSubject: x\n"
    )
    seeds.mail(house, earlier, ERIK, BO, header=header, subject=subject)
    (mail,) = _rows(_opened(_made(by, clock), clock), "relay.Message")
    assert re.sub("person-[0-9a-f]{10}", "#", mail["subject"]) == given


def test_who_stands_in_encoded_words_of_a_header_is_another_too(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    header = (
        f"From: {seeds.FIRM}\nTo: =?utf-8?b?Qm8gS3JvZw==?= <{BO}>, {ERIK}\n"
        "Subject: =?utf-8?b?U3ZhciB0aWwgQm8g?=\n =?utf-8?q?Krog_=3Cib=40andre=2Eexample=3E?=\n"
    )
    seeds.mail(house, earlier, ERIK, BO, header=header)
    (kept,) = _rows(_opened(_made(by, clock), clock), "relay.MessageHeader")
    assert re.sub("person-[0-9a-f]{10}", "#", kept["header"]) == (
        f"From: #\nTo: #, <{ERIK}>\nSubject: Svar til # <#>\n"
    )


def test_a_name_of_another_mail_is_not_looked_for(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    """Nothing but the mail itself says whom its words may mean; and memory stays what it is."""
    header = f"From: {seeds.FIRM}\nTo: Sort Sol <{BO}>, {ERIK}\n"
    seeds.mail(house, earlier, ERIK, BO, header=header)
    seeds.mail(house, earlier, ERIK, subject="Sort Sol i morgen")
    mails = _rows(_opened(_made(by, clock), clock), "relay.Message")
    assert "Sort Sol i morgen" in {mail["subject"] for mail in mails}


def test_manifest_says_where_others_may_still_be_named(by: Membership, clock: Clock) -> None:
    manifest = json.loads(_opened(_made(by, clock), clock).read("manifest.json"))
    told = {one["path"]: one["reason"] for one in manifest["may_name_others"]}
    assert {"relay.Message.subject", "relay.MessageHeader.header"} <= set(told)
    assert {"relay.Message.sender", "relay.Delivery.display_name"}.isdisjoint(told)
    assert all("controller" in reason for reason in told.values())


def test_recipients_of_what_the_address_sent_are_others(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    seeds.mail(house, earlier, BO, IB, sender=ERIK)
    book = _opened(_made(by, clock), clock)
    assert {BO, IB, "Bo", "Ib"}.isdisjoint(_text(book).split('"'))
    assert len(_rows(book, "relay.Delivery")) == 2
    assert [row["sender"] for row in _rows(book, "relay.Message")] == [ERIK]


def test_mail_to_itself_is_given_once(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, BO, sender=ERIK)
    book = _opened(_made(by, clock), clock)
    assert len(_rows(book, "relay.Message")) == 1
    assert len(_rows(book, "relay.Delivery")) == len(_rows(book, "relay.Attempt")) == 2


def test_nothing_of_another_organisation_nor_of_another_address(
    house: Organisation,
    neighbour: Organisation,
    by: Membership,
    clock: Clock,
    earlier: datetime,
) -> None:
    seeds.mail(neighbour, earlier, ERIK, subject="Fra naboen")
    seeds.mail(house, earlier, f"x{ERIK}", subject="Til en anden")
    seeds.suppressed(neighbour, ERIK, earlier)
    package = _made(by, clock)
    assert package.rows == 0
    text = _text(_opened(package, clock))
    assert "naboen" not in text
    assert "anden" not in text


def test_manifest_has_counts_digests_redactions_and_what_is_withheld(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, waits=True)
    seeds.suppressed(house, ERIK, earlier)
    package = _made(by, clock)
    book = _opened(package, clock)
    manifest = json.loads(book.read("manifest.json"))
    assert (manifest["kind"], manifest["package"]) == ("correspondent", str(package.pk))
    rows = {table["table"]: table["rows"] for table in manifest["tables"]}
    assert rows["relay.Delivery"] == rows["relay.Suppression"] == rows["relay.QueuedDelivery"] == 1
    assert {one["path"] for one in manifest["redactions"]} >= {"relay.Message.sender"}
    assert "relay.Suppression.address_hash" in {one["path"] for one in manifest["withheld"]}
    assert {one["path"] for one in manifest["files"]} == {*book.namelist()} - {"manifest.json"}


def test_cells_are_text_to_every_spreadsheet(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, subject="=cmd|'/c calc'!A1")
    book = _opened(_made(by, clock), clock)
    (name,) = [one for one in book.namelist() if one.startswith("csv/relay-message-1")]
    lines = list(csv.DictReader(io.StringIO(book.read(name).decode("utf-8-sig"))))
    assert not lines[0]["subject"].startswith("=")


def test_rows_come_in_pages_of_a_thousand(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    at = [earlier - timedelta(milliseconds=n) for n in range(PAGE_ROWS + 1)]
    with build.as_owner():
        numbers = [uuid7(one) for one in at]
        of = [{"organisation": house, "accepted_at": uuid7_time(number)} for number in numbers]
        Message.objects.bulk_create(
            Message(**row, id=number, sender=seeds.FIRM, size=1, recipients=1)
            for number, row in zip(numbers, of, strict=True)
        )
        Delivery.objects.bulk_create(
            Delivery(**row, message_id=number, position=0, recipient=ERIK)
            for number, row in zip(numbers, of, strict=True)
        )
    package = _made(by, clock)
    book = _opened(package, clock)
    assert package.rows == 2 * (PAGE_ROWS + 1)
    assert len(_rows(book, "relay.Delivery")) == PAGE_ROWS + 1
    assert "json/relay-delivery-2.json" in book.namelist()


def test_file_is_sealed_and_goes_with_its_time(
    house: Organisation, by: Membership, clock: Clock, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    package = _made(by, clock)
    file = path_of(package.pk)
    assert ERIK.encode() not in file.read_bytes()
    clock.forward(days=7)
    with pytest.raises(PackageGone):
        packages.read(package, clock())
    assert packages.destroy_due(clock()) == 1
    assert not file.exists()
    assert not AddressPackage.objects.exists()


def test_clean_up_of_peoples_packages_leaves_these(
    house: Organisation, by: Membership, clock: Clock
) -> None:
    package = _made(by, clock)
    person_packages.destroy_due(clock())
    assert path_of(package.pk).exists()
    (Path(configured.PACKAGES) / ("0" * 32)).write_bytes(b"x")
    assert person_packages.destroy_due(clock()) == 1
    assert path_of(package.pk).exists()


def test_fault_is_tried_again_and_then_told(
    house: Organisation, by: Membership, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = packages.order(ERIK, by=by, now=clock())
    with monkeypatch.context() as patch:
        patch.setattr(packing, "compose", lambda *_: 1 / 0)
        for _ in range(person_packages.TRIES + 1):
            assert packing.pack_due() == 0
            clock.forward(minutes=6)
    package.refresh_from_db()
    assert package.state == State.FAILED
    assert Alert.objects.get(resolved_at=None).kind == packing.ALERT
    # The row says whose address it was about: it does not outlast one that was made.
    clock.forward(days=PACKAGE_DAYS)
    assert packages.destroy_due(clock()) == 1
    packing.pack_due()
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_package_that_was_erased_meanwhile_leaves_no_file(
    house: Organisation, by: Membership, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = packages.order(ERIK, by=by, now=clock())

    def erased(*_: Any) -> int:
        AddressPackage.objects.all().delete()
        return 0

    monkeypatch.setattr(packing, "compose", erased)
    assert packing.pack_due() == 0
    assert not path_of(package.pk).exists()
    assert list(path_of(package.pk).parent.iterdir()) == []
