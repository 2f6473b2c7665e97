# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search as a file: all of it, nothing more, no formula, and in bounded memory."""

from __future__ import annotations

import csv
import io
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client

from accounts import clock
from accounts.models import AuditEvent, Organisation, Role, User
from accounts.refusals import Refused
from accounts.tenancy import organisation_context
from accounts.turns import LOCK_CLASS
from relay import downloads, partitions
from relay.downloads import Asked, Download, NoPlace, StillRunning
from relay.models import Delivery, Message
from relay.search import Search
from tests import build
from tests.relay import pages
from tests.relay.test_log import message
from tests.relay.test_search import filled

pytestmark = pytest.mark.django_db

MIB = 1024 * 1024
DOWNLOAD = "/en/log/download/"


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def lines(response: Any) -> list[dict[str, str]]:
    # The client closes it at its end, as the server does.
    content = b"".join(response.streaming_content)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_every_recipient_is_a_line(page: Client, organisation: Organisation) -> None:
    older = message(organisation, "erik@modtager.example", ago=9)
    newer = message(organisation, "ida@modtager.example", "kaj@modtager.example")
    response = page.post(DOWNLOAD)
    assert response.headers["Content-Disposition"].startswith('attachment; filename="log-')
    found = lines(response)
    assert [(line["number"], line["recipient"]) for line in found] == [
        (str(newer.id), "ida@modtager.example"),
        (str(newer.id), "kaj@modtager.example"),
        (str(older.id), "erik@modtager.example"),
    ]
    assert {line["sender"] for line in found} == {"post@due.example"}
    assert {line["state"] for line in found} == {"waiting"}


def test_only_what_was_searched_for(page: Client, organisation: Organisation) -> None:
    message(organisation, "ida@modtager.example", "kaj@modtager.example")
    with organisation_context(organisation.id):
        search = Search(recipient="kaj@", recipient_begins=True).sealed(organisation.id)
    found = lines(page.post(DOWNLOAD, {"search": search}))
    assert [line["recipient"] for line in found] == ["kaj@modtager.example"]


def test_days_are_those_of_who_asks(page: Client, bo: User, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    # Where it is another day than in UTC.
    zone = "Pacific/Kiritimati" if made.accepted_at.hour >= 10 else "Pacific/Pago_Pago"
    with build.as_owner():
        User.objects.filter(pk=bo.pk).update(time_zone=zone)
    day = made.accepted_at.astimezone(ZoneInfo(zone)).date().isoformat()
    with organisation_context(organisation.id):
        sealed = Search(since_on=day, until_on=day).sealed(organisation.id)
    (line,) = lines(page.post(DOWNLOAD, {"search": sealed}))
    assert line["number"] == str(made.id)


def test_no_cell_is_a_formula(page: Client, organisation: Organisation) -> None:
    made = message(organisation, "=cmd|1@modtager.example")
    with build.as_owner():
        Message.objects.filter(id=made.id).update(
            sender="+a@due.example", subject='=HYPERLINK("x")'
        )
        Delivery.objects.filter(message_id=made.id).update(display_name="@SUM(A1)")
    (line,) = lines(page.post(DOWNLOAD))
    cells = {name: line[name] for name in ("recipient", "sender", "subject", "recipient_name")}
    assert cells == {
        "recipient": "'=cmd|1@modtager.example",
        "sender": "'+a@due.example",
        "subject": '\'=HYPERLINK("x")',
        "recipient_name": "'@SUM(A1)",
    }


def test_viewer_gets_it_masked(organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    with build.as_owner():
        Message.objects.filter(id=made.id).update(subject="Hej Erik")
        Delivery.objects.filter(message_id=made.id).update(display_name="Erik Holm")
    viewer = pages.member(organisation, Role.VIEWER)
    (line,) = lines(viewer.post(DOWNLOAD))
    assert line["recipient"] == "e•••@modtager.example"
    assert "rik" not in str(line.values())
    assert "post@" not in str(line.values())


def test_pieces_are_one_file(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PIECE", 2)
    made = [str(message(organisation, "erik@modtager.example", ago=n).id) for n in range(5)]
    assert [line["number"] for line in lines(page.post(DOWNLOAD))] == made


def test_long_file_says_that_it_is_cut(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MOST", 2)
    monkeypatch.setattr(downloads, "PIECE", 1)
    for count, cut in ((2, False), (1, True)):
        for number in range(count):
            message(organisation, "erik@modtager.example", ago=number)
        found = lines(page.post(DOWNLOAD))
        assert len(found) == 2 + cut
        assert (found[-1]["accepted_at"] == downloads.CUT) is cut


@pytest.mark.full
def test_memory_does_not_grow_with_the_file(organisation: Organisation) -> None:
    # Half of it is theirs.
    for ago in (1, 2):
        day = (clock.now() - timedelta(days=ago)).date()
        with build.as_owner():
            partitions.create_days(day)
        filled(organisation, day, rows=100_000)
    pieces = downloads.pieces(Asked(organisation_id=organisation.id, search=Search(), masked=False))
    begun = [next(pieces) for _ in range(20)]
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew; see proc(5).
    before, written = resident("VmHWM:"), sum(one.count(b"\n") for one in begun)
    written += sum(one.count(b"\n") for one in pieces)
    assert written > 90_000
    assert resident("VmHWM:") - before < 8 * MIB


def resident(name: str) -> int:
    """Octets of memory of this process; VmHWM is the most there were."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if name in line)


def test_another_organisation_gets_its_own(organisation: Organisation, carl: User) -> None:
    message(organisation, "erik@modtager.example")
    with organisation_context(organisation.id):
        sealed = Search(recipient="erik@modtager.example").sealed(organisation.id)
    stranger = pages.signed_in(carl)
    assert lines(stranger.post(DOWNLOAD)) == []
    assert stranger.post(DOWNLOAD, {"search": sealed}).status_code == 404


@pytest.mark.parametrize("sealed", ["x", "é", "AAAA"])
def test_search_that_cannot_be_read_is_not_the_whole_log(page: Client, sealed: str) -> None:
    assert page.post(DOWNLOAD, {"search": sealed}).status_code == 404


def test_it_is_in_the_audit_trail(page: Client, organisation: Organisation) -> None:
    lines(page.post(DOWNLOAD))
    with build.as_owner():
        assert AuditEvent.objects.filter(action="organisation.log-exported").count() == 1


def taken() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            " AND pid = pg_backend_pid()",
            [LOCK_CLASS],
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("pieces", [0, 1, 9])
def test_turn_is_given_back_whenever_somebody_leaves(
    organisation: Organisation, pieces: int
) -> None:
    message(organisation, "erik@modtager.example")
    asked = Asked(organisation_id=organisation.id, search=Search(), masked=False)
    download = Download(asked)
    assert taken() == 1
    for _ in zip(range(pieces), download, strict=False):
        pass
    download.close()
    assert taken() == 0


def test_limit_gives_the_turn_back(page: Client, organisation: Organisation) -> None:
    for _ in range(10):
        lines(page.post(DOWNLOAD))
    with organisation_context(organisation.id):
        search = Search(recipient="kaj@modtager.example")
        sealed = search.sealed(organisation.id)
    response = page.post(DOWNLOAD, {"search": sealed}, follow=True)
    assert "Too many tries" in response.text
    assert response.context["search"] == search
    assert taken() == 0


def test_second_at_the_same_time_is_told(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "turn", lambda _: nullcontext(False))
    with pytest.raises(StillRunning):
        Download(Asked(organisation_id=organisation.id, search=Search(), masked=False))
    assert "is being written" in page.post(DOWNLOAD, follow=True).text


@pytest.mark.parametrize("end", ["closed", "lost"])
def test_files_of_all_leave_threads_for_the_pages(
    page: Client, organisation: Organisation, other_organisation: Organisation, settings, end: str
) -> None:
    settings.DOWNLOADS_AT_ONCE = 1
    asked = Asked(organisation_id=other_organisation.id, search=Search(), masked=False)
    theirs = Download(asked)
    assert "Others are downloading" in page.post(DOWNLOAD, follow=True).text
    if end == "closed":
        theirs.close()
    del theirs
    for _ in range(2):
        assert lines(page.post(DOWNLOAD)) == []


@pytest.mark.parametrize("limit", ["turn", "hour"])
def test_refused_file_takes_no_place(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, settings, limit: str
) -> None:
    settings.DOWNLOADS_AT_ONCE = 1
    asked = Asked(organisation_id=organisation.id, search=Search(), masked=False)
    with monkeypatch.context() as patched:
        if limit == "turn":
            patched.setattr(downloads, "turn", lambda _: nullcontext(False))
        else:
            patched.setattr("accounts.limits._wait", lambda *args: 1)
        with pytest.raises(Refused) as kept:
            Download(asked)
    assert not isinstance(kept.value, NoPlace)
    Download(asked).close()
