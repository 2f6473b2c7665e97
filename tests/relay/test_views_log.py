# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from accounts import masking
from accounts.models import Organisation, Role, User
from accounts.models.users import DISPLAY_ZONE
from relay import search
from relay.models import Attempt, Delivery, Ending, Message, QueuedDelivery, Report
from relay.search import Search
from tests import build
from tests.relay import pages
from tests.relay.test_log import NOW, message

pytestmark = pytest.mark.django_db

LOG = "/en/log/"


def finish(made: Message, state: str, **fields: Any) -> None:
    with build.as_owner():
        rows = Delivery.objects.filter(message_id=made.id)
        rows.update(state=state, finished_at=NOW, **fields)
        if state != Delivery.State.DELIVERED:
            of = {"organisation": made.organisation, "accepted_at": made.accepted_at}
            positions = rows.values_list("position", flat=True)
            Ending.objects.bulk_create(
                Ending(**of, message_id=made.id, position=position, state=state)
                for position in positions
            )
        QueuedDelivery.objects.filter(message_id=made.id).delete()
        Message.objects.filter(id=made.id).update(content_destroyed_at=NOW)


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


@pytest.fixture
def viewer(organisation: Organisation) -> Client:
    return pages.member(organisation, Role.VIEWER)


def ids(text: str, *made: Message) -> list[bool]:
    return [f"/log/{one.id}/" in text for one in made]


def test_sandbox_mail_says_that_nobody_received_it(
    page: Client, organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    badge, words = 'class="state">sandbox', "It was checked and logged like any other"
    assert (badge in page.get(LOG).text, words in page.get(f"{LOG}{made.id}/").text) == (
        False,
        False,
    )
    with build.as_owner():
        Message.objects.update(is_sandbox=True)
    assert f"{badge}</span>" in page.get(LOG).text
    finish(made, "sandboxed")
    text = page.get(LOG).text
    assert (text.count(badge), f"{badge}ed</span>" in text) == (1, True)
    text = page.get(f"{LOG}{made.id}/").text
    assert words in text
    assert "delivered" not in text.lower()
    with build.as_owner():
        Message.objects.update(is_notification=True)
    assert "about mail that was only tried out" in page.get(f"{LOG}{made.id}/").text


def test_empty_log_says_what_to_do(page: Client) -> None:
    assert "Your credentials show how to send the first" in page.get(LOG).text


def test_newest_first_with_states_in_words(page: Client, organisation: Organisation) -> None:
    older = message(organisation, "erik@modtager.example", ago=60)
    newer = message(organisation, "ida@modtager.example", "bo@modtager.example")
    finish(older, "bounced")
    text = page.get(LOG).text.replace("<wbr>", "")
    assert text.index(str(newer.id)) < text.index(str(older.id))
    assert "2 waiting" in text
    assert ">bounced<" in text
    assert "post@due.example" in text


def test_pages_lead_to_the_end_and_back(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.find, "__defaults__", (None, 2))
    made = [message(organisation, f"r{n}@modtager.example", ago=n) for n in range(3)]
    first = page.get(LOG)
    assert ids(first.text, *made) == [True, True, False]
    second = page.get(first.context["older"])
    assert ids(second.text, *made) == [False, False, True]
    assert second.context["older"] == ""
    assert second.context["newest"] == LOG


@pytest.mark.parametrize("before", ["x", "2026-01-01|x", "|", "2026-01-01T00:00|" + "0" * 32])
def test_nonsense_place_shows_the_newest(page: Client, before: str) -> None:
    assert page.get(LOG, {"before": before}).status_code == 200


def looked_for(client: Client, **fields: str) -> Any:
    return client.post(LOG, fields, follow=True)


def test_search_leaves_no_address_in_the_address_line(
    page: Client, organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    response = looked_for(page, recipient="Erik@modtager.example")
    ((url, _),) = response.redirect_chain
    assert "erik" not in url.lower()
    assert "modtager" not in url
    assert ids(response.text, made) == [True]
    assert 'value="erik@modtager.example"' in response.text


def test_search_by_whole_address_and_by_beginning(page: Client, organisation: Organisation) -> None:
    erik = message(organisation, "erik@modtager.example")
    erika = message(organisation, "erika@modtager.example")
    ida = message(organisation, "ida@modtager.example", "erik@modtager.example.com")
    found = {
        written: ids(looked_for(page, recipient=written).text, erik, erika, ida)
        for written in ("erik@modtager.example", "erik@*", "erik*", "erik", "ida@modtager.example")
    }
    assert found == {
        "erik@modtager.example": [True, False, False],
        "erik@*": [True, False, True],
        "erik*": [True, True, True],
        "erik": [True, True, True],
        "ida@modtager.example": [False, False, True],
    }


def test_search_treats_pattern_characters_as_themselves(
    page: Client, organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    for written in ("eri_", "er%k", "%%%", "æøå", "eri\\"):
        assert ids(looked_for(page, recipient=written).text, made) == [False]


@pytest.mark.parametrize("written", ["er*", "e", "*"])
def test_too_short_a_beginning_is_refused_with_a_way_on(page: Client, written: str) -> None:
    text = looked_for(page, recipient=written).text
    assert "write at least three characters" in text
    assert "Nothing was searched" in text


def test_search_by_state_and_day(page: Client, organisation: Organisation) -> None:
    waits, bounced = (message(organisation, "erik@modtager.example", ago=ago) for ago in (1, 2))
    finish(bounced, "bounced")
    today = timezone.localdate(NOW - timedelta(seconds=2), ZoneInfo(DISPLAY_ZONE)).isoformat()
    for fields in (
        {"state": "bounced"},
        {"state": "bounced", "recipient": "erik*"},
        {"state": "bounced", "recipient": "erik@modtager.example", "since_on": today},
    ):
        assert ids(looked_for(page, **fields).text, waits, bounced) == [False, True]
    assert ids(looked_for(page, since_on=today).text, waits, bounced) == [True, True]
    for fields in ({"until_on": "2020-01-01"}, {"since_on": "2999-01-01"}):
        assert "Nothing found" in looked_for(page, **fields).text
    assert ids(looked_for(page, until_on="9999-12-31").text, waits, bounced) == [True, True]


def test_days_the_wrong_way_round_are_told(page: Client) -> None:
    text = looked_for(page, since_on="2026-11-20", until_on="2026-11-19").text
    assert "That is before the first day" in text
    assert 'value="2026-11-20"' in text


def test_search_of_another_organisation_opens_nothing(
    page: Client, carl: User, organisation: Organisation
) -> None:
    message(organisation, "erik@modtager.example")
    ((url, _),) = looked_for(page, recipient="erik@modtager.example").redirect_chain
    response = pages.signed_in(carl).get(url)
    assert "erik" not in response.text
    assert response.context["search"] == Search()


@pytest.mark.parametrize("sealed", ["x", "é", "AAAA", "=" * 50])
def test_nonsense_search_shows_the_newest(page: Client, sealed: str) -> None:
    assert page.get(LOG, {"search": sealed}).context["search"] == Search()


def test_viewer_sees_addresses_masked(viewer: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    for path in (LOG, f"{LOG}{made.id}/", "/en/waiting/"):
        text = viewer.get(path).text.replace("<wbr>", "")
        assert "erik" not in text
        assert "e•••@modtager.example" in text
        assert "post@due.example" not in text


def test_viewer_cannot_spell_an_address_out(viewer: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    for written in ("eri*", "erik", "erik@*"):
        assert "Write a whole address" in looked_for(viewer, recipient=written).text
    response = looked_for(viewer, recipient="erik@modtager.example")
    assert ids(response.text, made) == [True]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("erik@modtager.example", "e•••@modtager.example"),
        ('"a@b"@modtager.example', '"•••@modtager.example'),
        ("", ""),
        ("erik", "e•••"),
    ],
)
def test_mask_keeps_first_character_and_domain(address: str, shown: str) -> None:
    assert masking.masked(address) == shown


def attempt(made: Message, number: int, verdict: str, **fields: Any) -> None:
    with build.as_owner():
        Attempt.objects.create(
            organisation_id=made.organisation_id, accepted_at=made.accepted_at, message_id=made.id,
            position=0, number=number, started_at=NOW, finished_at=NOW, verdict=verdict, **fields,
        )  # fmt: skip


def test_timeline_tells_what_happened_from_first_to_last(
    page: Client, organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    attempt(
        made, 1, "retry", remote_host="mail.due.example", remote_address="192.0.2.7", code=451,
        tls_version="TLSv1.3", tls_cipher="TLS_AES_256_GCM_SHA384", tls_verified=True,
        reply="4.7.1 greylisted <script>alert(1)</script>",
    )  # fmt: skip
    text = page.get(f"{LOG}{made.id}/").text
    for words in (
        "Try 1: put off",
        "mail.due.example",
        "TLSv1.3, TLS_AES_256_GCM_SHA384; certificate checked",
        "451 4.7.1 greylisted &lt;script&gt;",
        "The mail server asked to try later",
        "Next try",
        "Given up",
        "Kept sealed until the last recipient has it",
        "Try now",
    ):
        assert words in text
    attempt(
        made,
        2,
        "delivered",
        remote_host="a",
        remote_address="192.0.2.7",
        code=250,
        reply="2.0.0 ok",
    )
    finish(made, "delivered", possible_duplicate=True)
    text = page.get(f"{LOG}{made.id}/").text
    for words in ("Try 2: delivered", "250 2.0.0 ok", "none, in clear", "It is gone from here"):
        assert words in text
    assert "may have got this message twice" in text
    assert "Try now" not in text


@pytest.mark.behaviour(45)
def test_timeline_tells_of_encryption_and_of_what_came_later(
    page: Client, organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    attempt(
        made, 1, "delivered", remote_host="mx.modtager.example", remote_address="192.0.2.7",
        tls_demand="may", tls_result="not_offered", kind="direct",
    )  # fmt: skip
    reported(made, 1, "delayed", "4.4.1 wait")
    reported(made, 2, "failed", "5.1.1 no such user", scope="recipient", is_hard=True)
    finish(made, "bounced", final_reason="returned")
    text = page.get(f"{LOG}{made.id}/").text
    told = [
        "Try 1: delivered",
        "in clear: the server offered no encryption",
        "Asked for where the server offers it",
        "Told later: delayed",
        "Told later: not delivered",
        "5.1.1 no such user",
        "about the address: it takes no mail",
        "Was taken by the recipient",
    ]
    places = [text.find(words) for words in told]
    assert -1 not in places
    assert places == sorted(places)
    assert "came back" in page.get(LOG).text


def reported(made: Message, number: int, kind: str, reply: str, **fields: Any) -> None:
    with build.as_owner():
        Report.objects.create(
            organisation_id=made.organisation_id, accepted_at=made.accepted_at, message_id=made.id,
            position=0, number=number, received_at=NOW, source="bounce", kind=kind, reply=reply,
            **fields,
        )  # fmt: skip


def test_number_of_a_message_leads_to_it(page: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    response = looked_for(page, number=str(made.id))
    assert response.redirect_chain[-1][0] == f"{LOG}{made.id}/"
    for number in (build.message_id(), UUID(int=0), UUID(int=2**128 - 1)):
        assert "no message of this number" in looked_for(page, number=str(number)).text


def test_another_organisations_number_leads_nowhere(organisation: Organisation, carl: User) -> None:
    made = message(organisation, "erik@modtager.example")
    text = looked_for(pages.signed_in(carl), number=str(made.id)).text
    assert "no message of this number" in text


def test_expired_and_restored_are_explained(page: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    finish(made, "expired", final_reason="restored")
    text = page.get(f"{LOG}{made.id}/").text
    assert "so it was given up" in text
    assert "Final before a restore of the database" in text


def test_another_organisations_message_is_a_missing_one(
    organisation: Organisation, carl: User
) -> None:
    made, client = message(organisation, "erik@modtager.example"), pages.signed_in(carl)
    for identifier in (made.id, build.message_id(), carl.id, UUID(int=0), UUID(int=2**128 - 1)):
        assert client.get(f"{LOG}{identifier}/").status_code == 404
    assert "erik" not in client.get(LOG).text


def test_privacy_and_strangers_are_kept_out(organisation: Organisation, client: Client) -> None:
    made = message(organisation, "erik@modtager.example")
    privacy = pages.member(organisation, Role.PRIVACY)
    for path in (LOG, f"{LOG}{made.id}/"):
        assert privacy.get(path).status_code == 403
        assert client.get(path).status_code == 302
    assert privacy.post(LOG, {"recipient": "erik*"}).status_code == 403


def test_log_takes_the_same_queries_however_long(
    page: Client, organisation: Organisation, django_assert_num_queries
) -> None:
    for count in (1, 30):
        for number in range(count):
            message(organisation, *(f"r{n}@modtager.example" for n in range(4)), ago=number)
        with django_assert_num_queries(22):
            page.get(LOG)
    sealed = parse_qs(urlsplit(looked_for(page, recipient="r1@*").redirect_chain[0][0]).query)
    with django_assert_num_queries(23):
        page.get(LOG, sealed)


def test_timeline_takes_the_same_queries_however_many_recipients(
    page: Client, organisation: Organisation, django_assert_num_queries
) -> None:
    for count in (1, 30):
        made = message(organisation, *(f"r{n}@modtager.example" for n in range(count)))
        attempt(made, 1, "retry")
        with django_assert_num_queries(22):
            page.get(f"{LOG}{made.id}/")
