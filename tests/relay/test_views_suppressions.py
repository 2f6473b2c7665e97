# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import csv
import io
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import spreadsheets
from accounts.models import AuditEvent, Organisation, Role, User
from relay import downloads, suppressions
from relay.models import Suppression
from relay.suppressing import fingerprint
from relay.views import onward
from tests import build
from tests.relay import pages
from tests.relay.test_downloads import taken

pytestmark = pytest.mark.django_db

LIST, NEW = "/en/suppressions/", "/en/suppressions/new/"
IMPORT, EXPORT = "/en/suppressions/import/", "/en/suppressions/export/"
Reason = Suppression.Reason


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def row(organisation: Organisation, address: str, **fields: object) -> Suppression:
    values = {"address": address, "reason": Reason.BY_PERSON, "created_at": build.NOW} | fields
    with build.as_owner():
        return Suppression.objects.create(
            organisation=organisation,
            address_hash=fingerprint(organisation.id, address),
            **values,
        )


def kept() -> list[Suppression]:
    with build.as_owner():
        return list(Suppression.objects.order_by("created_at", "id"))


def acts() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


def test_address_is_added_once_and_a_persons_word_has_no_end(
    page: Client, organisation: Organisation
) -> None:
    row(organisation, "nej@tak.example", reason=Reason.HARD_BOUNCE, expires_at=build.NOW)
    answer = page.post(NEW, {"address": " Nej@TAK.example", "reason": "objection"}, follow=True)
    assert "What waits for it is cancelled" in answer.text
    (one,) = kept()
    assert (one.address, one.reason, one.expires_at) == ("nej@tak.example", "objection", None)
    assert one.address_until is not None
    assert acts() == ["suppression.created"]


def test_a_recipients_wish_stays_one_whoever_adds_the_address_again(
    page: Client, organisation: Organisation
) -> None:
    row(organisation, "nej@tak.example", reason=Reason.COMPLAINT)
    page.post(NEW, {"address": "nej@tak.example", "reason": "by_person"})
    assert [one.reason for one in kept()] == ["complaint"]


@pytest.mark.parametrize("written", ["nej", "nej@", "a@b@c.example", "<x@y.example>", ""])
def test_what_is_no_address_is_not_added(page: Client, written: str) -> None:
    text = page.post(NEW, {"address": written, "reason": "by_person"}).text
    assert kept() == []
    assert "aria-invalid" in text


def test_list_shows_and_finds_addresses(page: Client, organisation: Organisation) -> None:
    row(organisation, "nej@tak.example")
    gone = row(organisation, "glemt@tak.example")
    with build.as_owner():
        Suppression.objects.filter(pk=gone.pk).update(address=None)
    text = page.get(LIST).text
    assert "nej@<wbr>tak.example" in text
    assert "fingerprint only" in text
    found = page.post(LIST, {"address": "GLEMT@tak.example"})
    assert "glemt" not in found.headers["Location"]
    shown = page.get(found.headers["Location"]).text
    assert "fingerprint only" in shown
    assert "nej@" not in shown
    asked = page.post(LIST, {"address": "ja@tak.example"}, follow=True)
    assert "Not on the list" in asked.text


def test_viewer_sees_masked_addresses_and_no_acts(organisation: Organisation) -> None:
    one = row(organisation, "nejtak@tak.example")
    viewer = pages.member(organisation, Role.VIEWER)
    text = viewer.get(LIST).text
    assert "nejtak" not in text
    assert "•••" in text
    for path in (NEW, IMPORT, f"{LIST}{one.id}/remove/"):
        assert viewer.get(path).status_code == 403
    assert viewer.post(EXPORT).status_code == 403


def test_who_objected_must_want_mail_again(page: Client, organisation: Organisation) -> None:
    mine = row(organisation, "fejl@tak.example", reason=Reason.HARD_BOUNCE)
    theirs = row(organisation, "nej@tak.example", reason=Reason.OBJECTION)
    assert "It gets mail again" in page.post(f"{LIST}{mine.id}/remove/", follow=True).text
    path = f"{LIST}{theirs.id}/remove/"
    assert "Only they can want it again" in page.get(path).text
    assert "Tick that the recipient wants your mail again" in page.post(path).text
    assert [one.id for one in kept()] == [theirs.id]
    page.post(path, {"wants_again": "on"})
    assert kept() == []
    assert acts() == ["suppression.removed"] * 2


FILE = (
    "email;navn\r\nnej@tak.example;Ida\r\n=cmd|x\r\n\r\nNEJ@tak.example;igen\r\n"
    "blåbær@bøger.example\r\nher\r\n"
)


def upload(text: str, **more: str) -> dict[str, object]:
    return {"file": SimpleUploadedFile("liste.csv", text.encode("utf-8-sig")), **more}


def test_file_is_looked_at_first_and_imported_then(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[UUID] = []
    monkeypatch.setattr(onward, "cancel_imported", started.append)
    row(organisation, "nej@tak.example", reason=Reason.HARD_BOUNCE, expires_at=build.NOW)
    text = page.post(IMPORT, upload(FILE, only_look="on")).text
    for words in ("1 address is new", "1 stands there already", "2 lines hold no address"):
        assert words in text
    assert "3, 7" in text
    assert len(kept()) == 1
    assert acts() == []
    assert started == []
    page.post(IMPORT, upload(FILE))
    assert started == [organisation.id]
    found = {(one.address, one.reason, one.expires_at) for one in kept()}
    assert found == {
        ("nej@tak.example", "imported", None),
        ("blåbær@xn--bger-gra.example", "imported", None),
    }
    assert acts() == ["organisation.suppressions-imported"]


def test_exported_list_comes_back_as_it_was(page: Client, organisation: Organisation) -> None:
    for address in (
        "=cmd@kunde.example",
        "'=cmd@kunde.example",
        "+45@sms.example",
        "ida@kunde.example",
        '"a;b"@kunde.example',
        '"a,b"@kunde.example',
    ):
        row(organisation, address)
    text = page.post(IMPORT, upload(page.post(EXPORT).getvalue().decode("utf-8-sig"))).text
    assert "0 addresses are new" in text
    assert "6 stand there already" in text


def test_exported_list_changes_nothing_and_cancels_nothing(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[UUID] = []
    monkeypatch.setattr(onward, "cancel_imported", started.append)
    listed_in_three_ways(organisation)
    before = told()
    page.post(IMPORT, upload(page.post(EXPORT).getvalue().decode("utf-8-sig")))
    assert told() == before
    assert started == []


@pytest.mark.parametrize("separator", [",", ";"])
def test_exported_list_keeps_domain_reason_and_end_elsewhere(
    page: Client, organisation: Organisation, separator: str
) -> None:
    listed_in_three_ways(organisation)
    before, file = told(), page.post(EXPORT).getvalue().decode("utf-8-sig")
    with build.as_owner():
        Suppression.objects.all().delete()
    page.post(IMPORT, upload(file.replace(",", separator)))
    assert told() == before


def listed_in_three_ways(organisation: Organisation) -> None:
    soon = datetime.now(UTC) + timedelta(days=9)
    row(organisation, "ida@kunde.example", domain="due.example", reason=Reason.OBJECTION)
    row(organisation, "ida@kunde.example", reason=Reason.HARD_BOUNCE, expires_at=soon)
    row(organisation, "bo@kunde.example", reason=Reason.COMPLAINT)


def told() -> set[tuple[object, ...]]:
    return {(one.address, one.domain, one.reason, one.expires_at) for one in kept()}


def test_file_that_is_too_large_or_no_text_is_refused(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppressions, "IMPORT_LINES", 2)
    assert "The file is too large" in page.post(IMPORT, upload(FILE)).text
    assert "The file is too large" in page.post(IMPORT, upload("\n" * 3)).text
    longer = "x" * settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    assert "The file is too large" in page.post(IMPORT, upload(longer)).text
    junk = {"file": SimpleUploadedFile("x.csv", b"\xff\xfe\x00nej")}
    assert "cannot be read" in page.post(IMPORT, junk).text
    assert kept() == []


def test_one_file_of_an_organisation_is_written_at_a_time(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    b"".join(page.post(EXPORT))
    assert taken() == 0
    monkeypatch.setattr(downloads, "turn", lambda _: nullcontext(False))
    assert "is being written" in page.post(EXPORT, follow=True).text
    assert acts() == ["organisation.suppressions-exported"]


def test_export_is_whole_and_holds_no_formula(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppressions, "PIECE", 2)
    for name in ("=2+2@tak.example", "+45@tak.example", "b@tak.example"):
        row(organisation, name)
    row(build.organisation("Andet Hus A/S"), "fremmed@tak.example")
    with build.as_owner():
        Suppression.objects.filter(address="b@tak.example").update(address=None)
    answer = page.post(EXPORT)
    content = b"".join(answer)
    assert content.startswith(spreadsheets.MARK)
    table = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert sorted(one["address"] for one in table) == ["", "'+45@tak.example", "'=2+2@tak.example"]
    assert all(len(one["fingerprint"]) == 64 for one in table)
    assert acts() == ["organisation.suppressions-exported"]
