# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils.html import escape
from kombu.exceptions import OperationalError

from accounts import clock
from accounts.models import AuditEvent, Organisation, Role, User
from relay import holding, scopes, tasks, waitlist
from relay.models import Hold, QueuedDelivery, Quota, Route
from tests import build
from tests.relay import pages
from tests.relay.test_log import message

pytestmark = pytest.mark.django_db

WAITING = "/en/waiting/"
ACTS = ("retry", "hold", "release", "cancel")


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that pages started, which a worker would take."""
    names: list[str] = []
    for task in (tasks.retry, tasks.cancel, tasks.settle_holds):
        name = task.name
        monkeypatch.setattr(task, "apply_async", lambda name=name, **_options: names.append(name))
    return names


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def due() -> int:
    with build.as_owner():
        return QueuedDelivery.objects.filter(due_at__lte=clock.now()).count()


def test_nothing_waiting_says_so(page: Client) -> None:
    assert "Nothing waits" in page.get(WAITING).text


@pytest.mark.parametrize("reason", QueuedDelivery.Reason)
def test_reason_and_times_are_told_in_words(
    page: Client, organisation: Organisation, reason: QueuedDelivery.Reason
) -> None:
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        QueuedDelivery.objects.update(reason=reason, possible_duplicate=True, attempts=3)
        row = QueuedDelivery.objects.get()
    text = page.get(WAITING).text
    words = str(reason.label)
    assert escape(words[0].upper() + words[1:]) in text
    by_itself = reason not in ("held", "quarantined", "bounces", "restricted")
    for moment in (row.due_at, row.expires_at) if by_itself else (row.expires_at,):
        assert moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") in text
    assert "may have arrived already" in text


def test_what_is_in_hand_or_due_says_so(page: Client, organisation: Organisation) -> None:
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        QueuedDelivery.objects.update(due_at=clock.now())
    assert '"Next try">now' in page.get(WAITING).text
    with build.as_owner():
        QueuedDelivery.objects.update(lease_expires_at=clock.now() + timedelta(minutes=1))
    assert "being sent" in page.get(WAITING).text


@pytest.mark.behaviour(26)
def test_trying_now_makes_one_message_or_all_due(page: Client, organisation: Organisation) -> None:
    first = message(organisation, "erik@modtager.example")
    message(organisation, "ida@modtager.example")
    response = page.post(f"{WAITING}{first.id}/retry/", follow=True)
    assert "1 delivery is tried now" in response.text
    assert due() == 1
    assert "1 delivery is tried now" in page.post(f"{WAITING}retry/", follow=True).text
    assert due() == 2
    assert "in hand or due already" in page.post(f"{WAITING}retry/", follow=True).text
    with build.as_owner():
        acts = set(AuditEvent.objects.values_list("action", "target_type"))
    assert acts == {("organisation.mail-retried", "accounts.Organisation")}


def test_retries_are_limited(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.limits._wait", lambda *args: 1)
    message(organisation, "erik@modtager.example")
    assert "Too many tries" in page.post(f"{WAITING}retry/", follow=True).text
    assert due() == 0


def test_pages_lead_to_the_newest_and_back(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitlist.listed, "__defaults__", (None, 2))
    made = [message(organisation, f"r{n}@modtager.example", ago=n) for n in range(3)]
    first = page.get(WAITING)
    assert [f"/log/{one.id}/" in first.text for one in made] == [False, True, True]
    second = page.get(first.context["next"])
    assert [f"/log/{one.id}/" in second.text for one in made] == [True, False, False]
    assert (second.context["first"], second.context["next"]) == (WAITING, "")


def test_another_organisations_mail_is_missing(organisation: Organisation, carl: User) -> None:
    made, client = message(organisation, "erik@modtager.example"), pages.signed_in(carl)
    assert "erik" not in client.get(WAITING).text
    for identifier in (made.id, build.message_id()):
        for act in ACTS:
            assert client.post(f"{WAITING}{identifier}/{act}/").status_code == 404
    for act in ACTS:
        client.post(f"{WAITING}{act}/")
    with build.as_owner():
        row = QueuedDelivery.objects.get()
        assert not Hold.objects.filter(organisation=organisation).exists()
    assert (row.due_at > clock.now(), row.cancelled_at) == (True, None)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(organisation: Organisation, role: Role) -> None:
    made = message(organisation, "erik@modtager.example")
    with build.as_owner():
        Hold.objects.create(organisation=organisation, domain="@x.example", held_at=clock.now())
    client = pages.member(organisation, role)
    for act in ACTS:
        for path in (f"{WAITING}{act}/", f"{WAITING}{made.id}/{act}/"):
            assert client.post(path).status_code == 403
    assert client.get(f"{WAITING}cancel/").status_code == 403
    for shown in (client.get(WAITING), client.get(f"{WAITING}?to=modtager.example")):
        assert shown.status_code == (200 if role == Role.VIEWER else 403)
        assert not [act for act in ACTS if f"/{act}/" in shown.text]
        assert "erik@" not in shown.text
    shown = client.get(f"/en/log/{made.id}/")
    assert not [act for act in ACTS if f"/{act}/" in shown.text]
    assert due() == 0


@pytest.mark.behaviour(26)
@pytest.mark.parametrize("query", ["", "?to=modtager.example", "?domain=due.example"])
def test_mail_is_held_and_released_from_the_page(
    page: Client, organisation: Organisation, started: list[str], query: str
) -> None:
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        QueuedDelivery.objects.update(domain="due.example")
    shown = page.get(f"{WAITING}{query}").text
    assert f"/waiting/hold/{query}" in shown
    assert f"/waiting/release/{query}" not in shown
    held = page.post(f"{WAITING}hold/{query}", follow=True)
    assert "Held back until you release it" in held.text
    assert "when it is released" in held.text
    assert f"/waiting/release/{query}" in held.text
    assert "Held back by somebody in the organisation" in page.get(WAITING).text
    released = page.post(f"{WAITING}release/{query}", follow=True)
    assert "Released. It goes" in released.text
    assert "when it is released" not in released.text or "to=" in query
    again = page.post(f"{WAITING}release/{query}", follow=True)
    assert ("Nobody holds just that back" in again.text) is ("to=" not in query)


@pytest.mark.behaviour(26)
def test_message_page_holds_releases_and_cancels(page: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example", "ida@modtager.example")
    path = f"/en/log/{made.id}/"
    assert "Held back" not in page.get(path).text
    held = page.post(f"{WAITING}{made.id}/hold/", follow=True)
    assert held.request["PATH_INFO"] == path
    assert "Held back by somebody in the organisation" in held.text
    assert f"/waiting/{made.id}/release/" in held.text
    page.post(f"{WAITING}{made.id}/release/")
    assert f"/waiting/{made.id}/hold/" in page.get(path).text
    asked = page.get(f"{WAITING}{made.id}/cancel/").text
    assert "Cancel this message?" in asked
    assert "2 deliveries end now" in asked
    assert "cannot be recalled" in asked
    cancelled = page.post(f"{WAITING}{made.id}/cancel/", follow=True)
    assert "2 deliveries are cancelled" in cancelled.text
    assert "Cancelled, and about to end" in cancelled.text
    assert not [act for act in ACTS if f"/{act}/" in cancelled.text]


def test_message_that_is_set_aside_can_only_be_cancelled(
    page: Client, organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example", "ida@modtager.example")
    for position, offered in ((0, list(ACTS)), (1, ["cancel"])):
        with build.as_owner():
            rows = QueuedDelivery.objects.filter(position=position)
            rows.update(reason="quarantined", lane=2)
        text = page.get(f"/en/log/{made.id}/").text
        assert [act for act in ACTS if f"/{act}/" in text] == [
            act for act in offered if act != "release"
        ]


def test_message_that_others_hold_along_says_so(page: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    page.post(f"{WAITING}hold/")
    assert "held back together with other mail" in page.get(f"/en/log/{made.id}/").text


@pytest.mark.behaviour(26)
def test_cancelling_a_domain_asks_first_and_says_what_goes(
    page: Client, organisation: Organisation
) -> None:
    message(organisation, "erik@modtager.example", "ida@andet.example")
    with build.as_owner():
        in_hand = clock.now() + timedelta(minutes=1)
        QueuedDelivery.objects.filter(position=0).update(lease_expires_at=in_hand)
    asked = page.get(f"{WAITING}cancel/?to=Modtager.example").text
    assert "Cancel all mail that waits to modtager.example?" in asked
    assert "1 delivery ends now" in asked
    assert "1 delivery is in hand right now" in asked
    with build.as_owner():
        assert not QueuedDelivery.objects.exclude(cancelled_at=None).exists()
    told = page.post(f"{WAITING}cancel/?to=Modtager.example", follow=True)
    assert "1 delivery is cancelled" in told.text
    assert told.request["QUERY_STRING"] == "to=modtager.example"
    with build.as_owner():
        assert QueuedDelivery.objects.get(cancelled_at=None).position == 1


@pytest.mark.parametrize(
    "query", ["?to=", "?to=@", "?to=a.example&domain=b.example", "?to=%00", "?to=a+b!!"]
)
@pytest.mark.parametrize("act", ACTS)
def test_domain_that_is_none_never_means_all(
    page: Client, organisation: Organisation, act: str, query: str
) -> None:
    message(organisation, "erik@modtager.example")
    assert page.post(f"{WAITING}{act}/{query}").status_code == 404
    with build.as_owner():
        assert QueuedDelivery.objects.get().cancelled_at is None
        assert not Hold.objects.exists()
    assert due() == 0


@pytest.mark.behaviour(26)
@pytest.mark.parametrize("act", ["retry", "cancel"])
def test_more_than_one_request_writes_is_gone_on_with(
    page: Client,
    organisation: Organisation,
    started: list[str],
    monkeypatch: pytest.MonkeyPatch,
    act: str,
) -> None:
    monkeypatch.setattr(scopes, "PIECE", 2)
    message(organisation, *(f"r{n}@modtager.example" for n in range(3)))
    told = page.post(f"{WAITING}{act}/", follow=True).text
    assert "2 deliveries are" in told
    assert "The others follow by themselves" in told
    assert started == [f"relay.{act}"]

    def unreachable(**_options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(getattr(tasks, act), "apply_async", unreachable)
    with build.as_owner():
        later = clock.now() + timedelta(hours=1)
        QueuedDelivery.objects.update(due_at=later, cancelled_at=None, lane=0)
    assert "do the same again in a minute" in page.post(f"{WAITING}{act}/", follow=True).text


def test_page_is_narrowed_by_its_address(page: Client, organisation: Organisation) -> None:
    made = [
        message(organisation, f"r@{name}.example", ago=n) for n, name in enumerate(("x", "y", "z"))
    ]
    with build.as_owner():
        Organisation.objects.update(sending_allowed=True)
        Route.objects.create(organisation=organisation, host="m.example", created_at=clock.now())
        rows = QueuedDelivery.objects
        rows.filter(message_id=made[0].id).update(reason="tls", domain="due.example")

    def shown(query: str) -> list[bool]:
        text = page.get(f"{WAITING}?{query}").text
        return [f"/log/{one.id}/" in text for one in made]

    assert shown("") == [True, True, True]
    assert shown("why=tls") == [True, False, False]
    assert shown("to=Y.EXAMPLE") == [False, True, False]
    assert shown("to=r@z.example") == [False, False, True]
    assert shown("domain=due.example") == [True, False, False]
    assert shown("domain=due.example&to=y.example") == [False, False, False]
    assert "Nothing like that waits" in page.get(f"{WAITING}?why=no_route").text
    text = page.get(WAITING).text
    for link in ("?why=tls", "?why=deferred", "?to=x.example"):
        assert f'href="{WAITING}{link}"' in text


@pytest.mark.behaviour(26)
@pytest.mark.parametrize(
    "query", ["to=" + "x" * 300, "to=no+domain+!!", "to=anna@", "domain=x_y", "why=nonsense"]
)
def test_question_that_is_not_understood_shows_nothing_and_offers_nothing(
    page: Client, organisation: Organisation, query: str
) -> None:
    made = message(organisation, "erik@modtager.example")
    told = page.get(f"{WAITING}?{query}")
    assert told.context["form"].errors
    assert f"/log/{made.id}/" not in told.text
    assert "Nothing waits" not in told.text
    assert not [act for act in ACTS if f"/waiting/{act}/" in told.text]


@pytest.mark.behaviour(26)
@pytest.mark.parametrize("query", ["to=blåbær.example", "to=xn--blbr-roah.example"])
def test_domain_is_the_same_however_it_is_written(
    page: Client, organisation: Organisation, query: str
) -> None:
    for ago, name in enumerate(("Blåbær.example", "xn--blbr-roah.example", "x.example")):
        message(organisation, f"erik@{name}", ago=ago)
    shown = page.get(f"{WAITING}?{query}")
    assert len(shown.context["rows"]) == 2
    assert "Mail to blåbær.example" in shown.text
    page.post(f"{WAITING}retry/?{query}")
    assert due() == 2
    page.post(f"{WAITING}hold/?{query}")
    held = page.get(WAITING)
    assert sorted(one.why for one in held.context["rows"]) == ["deferred", "held", "held"]
    assert held.text.count("Mail to blåbær.example") == 1
    page.post(f"{WAITING}release/?{query}")
    assert not {one.why for one in page.get(WAITING).context["rows"]} & {"held"}
    assert "2 deliveries are cancelled" in page.post(f"{WAITING}cancel/?{query}", follow=True).text


def test_page_says_what_keeps_mail_back(page: Client, organisation: Organisation) -> None:
    made, now = message(organisation, "erik@modtager.example"), clock.now()
    with build.as_owner():
        for values in (
            {"message_id": made.id},
            {"domain": "@modtager.example"},
            {"domain": "due.example"},
            {"reason": "over_quota", "ends_at": now + timedelta(minutes=30)},
        ):
            Hold.objects.create(organisation=organisation, held_at=now, **values)
        Quota.objects.create(organisation=organisation, messages_an_hour=1000)
        routes = {"organisation": organisation, "created_at": now, "host": "mail.due.example"}
        Route.objects.create(**routes, name="Hviler", rest_until=now + timedelta(minutes=5))
        Route.objects.create(**routes, name="Holder", paused_at=now, pause_reason="by_person")
        Route.objects.create(**routes, name="Virker", rest_until=now - timedelta(minutes=5))
        QueuedDelivery.objects.update(reason="quarantined", lane=2, strikes=3)
    text = page.get(WAITING).text
    for words in (
        "One message",
        "Mail to modtager.example",
        "Mail from due.example",
        "sent as much as you may for now",
        "1,000 messages an hour at most",
        "Hviler",
        "Holder",
        "1 delivery is set aside",
        "when it is released by us",
    ):
        assert words in text, words
    assert "Virker" not in text
    ends = (now + timedelta(minutes=30)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert ends in text


def test_so_many_holds_are_refused_in_words(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "DOMAINS_MOST", 0)
    told = page.post(f"{WAITING}hold/?to=x.example", follow=True).text
    assert "Hold a whole domain back" in told


COPY = """
INSERT INTO relay_queueddelivery (organisation_id, message_id, accepted_at, position, domain,
    recipient, notify, orcpt, due_at, expires_at, attempts, reason, possible_duplicate, fence)
SELECT organisation_id, gen_random_uuid(), accepted_at, 0, domain, recipient, '', '', due_at,
    expires_at, 1, reason, false, 0 FROM relay_queueddelivery, generate_series(1, %s)
"""


@pytest.mark.parametrize("query", ["", "?why=deferred", "?to=modtager.example"])
def test_list_takes_the_same_queries_however_long(
    page: Client, organisation: Organisation, django_assert_num_queries, query: str
) -> None:
    message(organisation, "erik@modtager.example")
    for count in (0, 9_999):
        with build.as_owner(), connection.cursor() as cursor:
            cursor.execute(COPY, [count])
        with django_assert_num_queries(22):
            page.get(f"{WAITING}{query}")
    # Another process may have changed it, so what was counted is never told again.
    with build.as_owner():
        QueuedDelivery.objects.filter(attempts=1).delete()
    assert page.get(f"{WAITING}{query}").context["counts"].total == 1
