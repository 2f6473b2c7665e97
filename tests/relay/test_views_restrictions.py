# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who answers people restricts and lifts; meanwhile nobody in the portal reads of the address."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from accounts import clock
from accounts.models import AuditEvent, Organisation, Role, User
from accounts.tenancy import organisation_context
from relay import restricting
from relay.models import (
    Delivery,
    LogChoice,
    Message,
    MessageHeader,
    QueuedDelivery,
    Restriction,
    Suppression,
)
from relay.suppressing import fingerprint, oldest_restricted, restrictions_of
from tests import build
from tests.accounts.visiting import at
from tests.guards.places import MEMBER, PERSON
from tests.relay import pages
from tests.relay.test_downloads import lines
from tests.relay.test_log import message

pytestmark = pytest.mark.django_db

LIST, NEW = "/en/restrictions/", "/en/restrictions/new/"
ERIK, IDA = "erik@modtager.example", "ida@modtager.example"
FORM = {"address": " Erik@MODTAGER.example", "ground": "accuracy"}


@pytest.fixture
def page(anna: User, organisation: Organisation) -> Client:
    return pages.signed_in(anna)


def restricted() -> Restriction:
    with build.as_owner():
        return Restriction.objects.get()


def queue() -> dict[str, tuple[str, bool]]:
    """Why each recipient's mail waits, and whether it is put off to its end."""
    with build.as_owner():
        rows = list(QueuedDelivery.objects.all())
    return {row.recipient: (row.reason, row.due_at == row.expires_at) for row in rows}


def acts() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


def test_address_is_restricted_once_and_what_waits_is_held(
    page: Client, organisation: Organisation
) -> None:
    message(organisation, ERIK, IDA)
    answer = page.post(NEW, FORM, follow=True)
    assert "What waits for it is held" in answer.text
    assert "erik@<wbr>modtager.example" in answer.text
    assert queue() == {ERIK: ("restricted", True), IDA: ("deferred", False)}
    assert "restricted already" in page.post(NEW, FORM).text
    row = restricted()
    assert (row.address, row.ground, row.origin) == (ERIK, "accuracy", "organisation")
    assert bytes(row.address_hash) == fingerprint(organisation.id, ERIK)
    assert acts() == ["restriction.created"]


@pytest.mark.parametrize("wrong", [{"address": "erik"}, {"ground": ""}, {"ground": "dislike"}])
def test_without_address_or_ground_nothing_is_restricted(
    page: Client, wrong: dict[str, str]
) -> None:
    assert "aria-invalid" in page.post(NEW, FORM | wrong).text
    with build.as_owner():
        assert not Restriction.objects.exists()


def test_address_is_used_again_only_when_the_person_was_told(
    page: Client, organisation: Organisation
) -> None:
    message(organisation, ERIK)
    page.post(NEW, FORM)
    lift, today = f"{LIST}{restricted().pk}/lift/", clock.now().date()
    for wrong in ("", str(today + timedelta(days=1)), str(today - timedelta(days=1))):
        assert page.post(lift, {"told_on": wrong}).status_code == 200
        assert restricted().lifted_at is None, wrong
    answer = page.post(lift, {"told_on": str(today)}, follow=True)
    assert "the person was told on" in answer.text
    assert (restricted().told_on, queue()) == (today, {ERIK: ("new", False)})
    assert acts() == ["restriction.created", "restriction.lifted"]
    assert "lifted already" in page.get(lift, follow=True).text
    assert page.post(NEW, FORM).status_code == 302


def test_end_without_a_day_is_refused_by_the_database_too(organisation: Organisation) -> None:
    with pytest.raises(IntegrityError), organisation_context(organisation.id):
        Restriction.objects.create(
            organisation=organisation, address_hash=b"x", ground="claims",
            restricted_at=clock.now(), lifted_at=clock.now(),
        )  # fmt: skip


def test_mail_by_an_address_is_held_with_it(page: Client, organisation: Organisation) -> None:
    message(organisation, IDA)
    page.post(NEW, FORM | {"address": "post@due.example"})
    assert queue() == {IDA: ("restricted", True)}
    lift = f"{LIST}{restricted().pk}/lift/"
    page.post(lift, {"told_on": str(clock.now().date())})
    assert queue() == {IDA: ("new", False)}


def kept(organisation: Organisation) -> tuple[UUID, UUID]:
    """Mail to Erik alone and to both, with what each store keeps of him; returns their numbers."""
    alone, both = message(organisation, ERIK), message(organisation, IDA, ERIK, ago=5)
    of = {"organisation": organisation}
    with build.as_owner():
        LogChoice.objects.create(**of, profile=LogChoice.Profile.HEADERS, changed_at=build.NOW)
        Delivery.objects.filter(recipient=ERIK).update(display_name="Erik Modtager")
        Message.objects.filter(id=alone.id).update(subject="Kære Erik Modtager")
        Message.objects.update(profile=LogChoice.Profile.HEADERS)
        for row in (alone, both):
            MessageHeader.objects.create(
                **of, accepted_at=row.accepted_at, message_id=row.id, header=f"To: {ERIK}"
            )
        Suppression.objects.create(
            **of, address=ERIK, address_hash=fingerprint(organisation.id, ERIK),
            reason=Suppression.Reason.BY_PERSON, created_at=build.NOW,
        )  # fmt: skip
    return alone.id, both.id


def names_him(text: str) -> bool:
    return bool(re.search(r"erik", text.replace("<wbr>", ""), re.IGNORECASE))


# What restricts is shown to whoever lifts it.
SHOWN = {"relay:restrictions", "relay:restriction-lift"}
WITHOUT_ROW = sorted({name for name, place in MEMBER.items() if not place.row} - SHOWN)


def texts(client: Client, alone: UUID, both: UUID) -> dict[str, str]:
    """Every page and every file that a member can open, by its name."""
    found = {name: client.get(at(name)).text for name in [*WITHOUT_ROW, *PERSON, "home"]}
    found["alone"] = client.get(at("relay:message", alone)).text
    found["both"] = client.get(at("relay:message", both)).text
    for name, data in (("log", {"recipient": ERIK}), ("log", {"recipient": "erik@*"})):
        answer = client.post(at(f"relay:{name}"), data)
        # The form repeats what was written into it.
        shown = client.get(answer["Location"]).text
        found[str(data)] = re.sub(r'value="[^"]*"', "", shown)
    for name in ("relay:log-download", "relay:suppressions-export"):
        file: Any = client.post(at(name))
        found[name] = b"".join(file.streaming_content).decode()
    return found


def test_no_page_and_no_file_shows_a_restricted_address(
    page: Client, organisation: Organisation
) -> None:
    """Planted where anything of the kind is kept; all pages there are come from the URL table."""
    alone, both = kept(organisation)
    seen = texts(page, alone, both)
    naming = {name for name, text in seen.items() if names_him(text)}
    assert {"relay:log", "relay:waiting", "relay:suppressions", "both", "alone"} <= naming
    assert {"relay:log-download", "relay:suppressions-export"} <= naming
    page.post(NEW, FORM)
    seen = texts(page, alone, both)
    assert [name for name, text in seen.items() if names_him(text)] == []
    assert "What is about 1 restricted address is left out" in seen["relay:log"]
    assert "1 recipient is left out" in seen["both"]
    assert "restricted address" in seen["relay:waiting"]
    assert page.get(at("relay:message", alone)).status_code == 404


# Every table with a web policy that has an address of a correspondent, and its column.
READ = (Delivery, Message, MessageHeader, Suppression)


def test_no_query_of_the_portal_gets_a_restricted_row(organisation: Organisation) -> None:
    """By the database, so that a query written tomorrow obeys as well."""
    kept(organisation)
    with organisation_context(organisation.id):
        assert [model.objects.count() for model in READ] == [3, 2, 2, 1]
    of = {"organisation": organisation, "ground": "claims", "restricted_at": build.NOW}
    with build.as_owner():
        row = Restriction.objects.create(
            **of, address=ERIK, spellings=[ERIK], address_hash=fingerprint(organisation.id, ERIK)
        )
    with organisation_context(organisation.id):
        assert [model.objects.count() for model in READ] == [1, 1, 0, 0]
    with build.as_role("duty"):
        assert [model.objects.count() for model in READ] == [3, 2, 2, 1]
    with build.as_owner():
        Restriction.objects.filter(pk=row.pk).update(lifted_at=build.NOW, told_on=build.NOW)
    with organisation_context(organisation.id):
        assert [model.objects.count() for model in READ] == [3, 2, 2, 1]


def test_restriction_of_one_organisation_hides_nothing_of_another(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    kept(organisation)
    kept(other_organisation)
    with build.as_owner():
        Restriction.objects.create(
            organisation=organisation, address=ERIK, spellings=[ERIK], ground="claims",
            address_hash=fingerprint(organisation.id, ERIK), restricted_at=build.NOW,
        )  # fmt: skip
    with organisation_context(other_organisation.id):
        assert [model.objects.count() for model in READ] == [3, 2, 2, 1]


def test_every_column_with_an_address_is_looked_at() -> None:
    """A new table of the log with an address needs a policy, and a row in the tests above."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns c WHERE table_schema = 'public'"
            " AND column_name IN ('recipient', 'sender', 'address', 'header')"
            " AND table_name LIKE 'relay\\_%' AND table_name !~ '[0-9]{8}$'"
            " AND has_table_privilege('web', table_name, 'SELECT')"
        )
        tables = {name for (name,) in cursor.fetchall()}
    # The queue shows that mail waits, and not to whom (waitlist.py).
    known = {model._meta.db_table for model in (*READ, QueuedDelivery, Restriction)}
    assert tables == known


def test_searched_file_says_that_something_is_left_out(
    page: Client, organisation: Organisation
) -> None:
    message(organisation, ERIK, IDA)
    page.post(NEW, FORM)
    *rows, last = lines(page.post("/en/log/download/"))
    assert [row["recipient"] for row in rows] == [IDA]
    assert "There are 1 of them" in last["accepted_at"]


def test_restricted_address_can_still_be_kept_from_mail(
    page: Client, organisation: Organisation
) -> None:
    kept(organisation)
    page.post(NEW, FORM)
    answer = page.post("/en/suppressions/new/", {"address": ERIK, "reason": "objection"})
    assert answer.status_code == 302
    page.post("/en/suppressions/new/", {"address": ERIK, "reason": "objection"})
    with build.as_owner():
        assert Suppression.objects.count() == 1


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.VIEWER])
def test_who_answers_nobody_restricts_nobody(organisation: Organisation, role: Role) -> None:
    client = pages.member(organisation, role)
    assert {client.get(path).status_code for path in (LIST, NEW)} == {403}


def test_address_goes_with_the_log_and_the_row_a_year_after(
    page: Client, organisation: Organisation
) -> None:
    page.post(NEW, FORM)
    row, now = restricted(), clock.now()
    with build.as_role("duty"):
        assert restrictions_of(ERIK) == [row.pk]
        assert oldest_restricted() == row.restricted_at
        assert restricting.forget(now + timedelta(days=29)) == 0
        assert restricting.forget(now + timedelta(days=30)) == 1
        assert oldest_restricted() is None
    row = restricted()
    assert (row.address, row.spellings) == (None, None)
    assert "fingerprint only" in page.get(LIST).text
    page.post(f"{LIST}{row.pk}/lift/", {"told_on": str(clock.now().date())})
    with build.as_role("duty"):
        restricting.forget(now + timedelta(days=364))
        assert Restriction.objects.exists()
        restricting.forget(now + timedelta(days=366))
        assert not Restriction.objects.exists()


def test_only_so_many_are_restricted(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restricting, "MOST", 1)
    page.post(NEW, FORM)
    assert "Ask us for help" in page.post(NEW, FORM | {"address": IDA}).text
