# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts import clock, vault
from accounts.models import AuditEvent, Organisation, Role, User
from accounts.tenancy import organisation_context
from relay import egress, probing
from relay.models import QueuedDelivery, Route, SendingDomain
from relay.routing import SECRET_PURPOSE, seal_secret
from relay.transports import RouteTarget
from relay.transports.smarthost import Probed
from tests import build
from tests.relay import pages
from tests.testbed.certificates import Authority
from tests.testbed.smtp import FarEnd, Script, Slow, threaded

pytestmark = pytest.mark.django_db

LIST, NEW, DIRECT = "/en/routes/", "/en/routes/new/", "/en/routes/new/direct/"
SECRET = "hemmelig-42-på-dansk"
FIELDS = {
    "name": "Exchange", "host": "mail.due.example", "port": 587, "security": "starttls",
    "username": "brevdue", "secret": SECRET, "priority": 10, "concurrency": 10,
    "takes_over": "on",
}  # fmt: skip


def route(organisation: Organisation, **fields: Any) -> Route:
    values: dict[str, Any] = {
        "name": "Exchange",
        "host": "mail.due.example",
        "created_at": build.NOW,
    }
    with build.as_owner():
        return Route.objects.create(organisation=organisation, **values | fields)


def signs_in(organisation: Organisation, **fields: Any) -> Route:
    with organisation_context(organisation.id):
        sealed = seal_secret(organisation.id, SECRET)
    return route(organisation, username="brevdue", sealed_secret=sealed, **fields)


def refuse_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard as it is, but for the time that a refusal takes."""
    real = egress.guard_from_settings
    monkeypatch.setattr(
        probing, "guard_from_settings", lambda: replace(real(), refusal_seconds=0.01)
    )


def stored() -> Route:
    with build.as_owner():
        return Route.objects.get()


def acts() -> list[tuple[str, list[str]]]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", "fields"))


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def test_empty_list_says_what_to_do(page: Client) -> None:
    assert "it is accepted but waits" in page.get(LIST).text


def test_secret_goes_in_sealed_and_never_comes_out(
    page: Client, organisation: Organisation
) -> None:
    response = page.post(NEW, FIELDS, follow=True)
    assert "Test the connection now" in response.text
    row = stored()
    with organisation_context(organisation.id):
        opened = vault.unseal(SECRET_PURPOSE, row.sealed_secret, organisation_id=organisation.id)
    assert opened.decode() == SECRET
    for path in (LIST, f"{LIST}{row.id}/", f"{LIST}{row.id}/edit/"):
        assert SECRET not in page.get(path).text
    wrong = page.post(f"{LIST}{row.id}/edit/", FIELDS | {"port": 99})
    assert SECRET not in wrong.text
    (act,) = acts()
    assert act[0] == "route.created"
    assert {"host", "secret"} <= set(act[1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"host": "mail.due.example:587"}, "That is not a server name"),
        ({"host": "https://mail.due.example"}, "That is not a server name"),
        ({"host": "mail"}, "That is not a server name"),
        ({"port": 22}, "port 25, 465, 587 or 2525 only"),
        ({"security": "none"}, "over a checked connection only"),
        ({"security": "opportunistic"}, "over a checked connection only"),
        ({"username": ""}, "A secret needs the user name"),
        ({"secret": ""}, "Write the secret that belongs to the user name"),
        ({"name": ""}, "This field is required"),
        ({"concurrency": 51}, "less than or equal to 50"),
        ({"rate_per_minute": 0}, "greater than or equal to 1"),
        ({"domain": "0199aaaa-0000-7000-8000-000000000000"}, "Select a valid choice"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_on(
    page: Client, change: dict[str, Any], says: str
) -> None:
    assert says in page.post(NEW, FIELDS | change).text
    with build.as_owner():
        assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Mail.Due.EXAMPLE.", "mail.due.example"),
        ("bøger.example", "xn--bger-gra.example"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_server_name_is_kept_in_one_form(page: Client, written: str, kept: str) -> None:
    page.post(NEW, FIELDS | {"host": written})
    assert stored().host == kept


def test_domain_of_another_organisation_cannot_be_served(
    page: Client, other_organisation: Organisation
) -> None:
    with build.as_owner():
        theirs = SendingDomain.objects.create(
            organisation=other_organisation, name="andet.example", token="x", created_at=build.NOW
        )
    assert "Select a valid choice" in page.post(NEW, FIELDS | {"domain": theirs.id}).text
    assert "andet.example" not in page.get(NEW).text


@pytest.mark.parametrize(
    ("change", "version"),
    [
        ({"name": "Other"}, 1),
        ({"priority": 20}, 1),
        ({"port": 465}, 2),
        ({"security": "tls"}, 2),
        ({"username": "another"}, 2),
        ({"secret": "new"}, 2),
        ({"host": "mail2.due.example", "secret": "new"}, 2),
    ],
)
def test_change_of_how_to_connect_raises_the_version(
    page: Client, organisation: Organisation, change: dict[str, Any], version: int
) -> None:
    row = signs_in(organisation)
    page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": ""} | change)
    kept = stored()
    assert kept.version == version
    assert bool(kept.sealed_secret)
    assert acts() == [("route.changed", sorted(change, key=list(change).index))]


def test_kept_secret_is_not_sent_to_another_server(
    page: Client, organisation: Organisation
) -> None:
    row = signs_in(organisation)
    response = page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": "", "host": "evil.example"})
    assert "so it is not sent to another one" in response.text
    assert stored().host == "mail.due.example"
    assert acts() == []


def test_without_user_name_the_secret_is_forgotten(
    page: Client, organisation: Organisation
) -> None:
    row = signs_in(organisation)
    page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": "", "username": ""})
    assert not stored().sealed_secret


def test_saving_nothing_new_records_nothing(page: Client, organisation: Organisation) -> None:
    row = signs_in(organisation)
    page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": ""})
    assert (stored().version, acts()) == (1, [])


def waiting(organisation: Organisation, position: int, reason: str) -> None:
    message = build.message_id()
    with build.as_owner():
        QueuedDelivery.objects.create(
            organisation=organisation, message_id=message, accepted_at=build.NOW, reason=reason,
            position=position, recipient="erik@modtager.example",
            due_at=later(), expires_at=later(),
        )  # fmt: skip


def later() -> datetime:
    return clock.now() + timedelta(hours=1)


@pytest.mark.behaviour(26)
def test_pause_and_resume(page: Client, organisation: Organisation) -> None:
    row = route(organisation)
    assert "Mail is accepted and waits" in page.post(f"{LIST}{row.id}/pause/", follow=True).text
    page.post(f"{LIST}{row.id}/pause/")
    assert (stored().pause_reason, stored().paused_at is None) == ("by_person", False)
    assert "by one of you" in page.get(f"{LIST}{row.id}/").text
    waiting(organisation, 0, QueuedDelivery.Reason.ROUTE_PAUSED)
    waiting(organisation, 1, QueuedDelivery.Reason.DEFERRED)
    page.post(f"{LIST}{row.id}/resume/")
    page.post(f"{LIST}{row.id}/resume/")
    assert (stored().pause_reason, stored().paused_at) == ("", None)
    assert [name for name, _ in acts()] == ["route.paused", "route.resumed"]
    with build.as_owner():
        due = QueuedDelivery.objects.filter(due_at__lte=clock.now(), lane=QueuedDelivery.Lane.AGAIN)
        assert [row.reason for row in due] == ["route_paused"]


def test_pause_after_a_refused_password_says_why_and_what_to_do(
    page: Client, organisation: Organisation
) -> None:
    row = signs_in(organisation, paused_at=build.NOW, pause_reason="sign_in_refused")
    text = page.get(f"{LIST}{row.id}/").text
    assert "the server refused user name or password" in text
    assert "Correct the user name or secret, test the connection, then resume" in text
    edited = page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": "new"}, follow=True)
    assert "The route is still paused" in edited.text


def resting(organisation: Organisation, **fields: Any) -> Route:
    row = signs_in(organisation, failures=6, rest_until=later(), **fields)
    waiting(organisation, 0, QueuedDelivery.Reason.RESTING)
    return row


def due() -> int:
    with build.as_owner():
        return QueuedDelivery.objects.filter(due_at__lte=clock.now()).count()


@pytest.mark.behaviour(25)
def test_rest_is_shown_until_it_is_over(page: Client, organisation: Organisation) -> None:
    row = resting(organisation)
    text = page.get(f"{LIST}{row.id}/").text
    assert "rests until" in text
    assert "its server did not answer" in text
    assert "resting</span>" in page.get(LIST).text
    assert "rests until" in page.get("/en/").text
    with build.as_owner():
        Route.objects.update(rest_until=clock.now() - timedelta(seconds=1))
    for path in (LIST, f"{LIST}{row.id}/", "/en/"):
        assert "resting</span>" not in page.get(path).text
        assert "rests until" not in page.get(path).text


@pytest.mark.parametrize(
    ("change", "rests"), [({"port": 465}, False), ({"secret": "new"}, False), ({"name": "x"}, True)]
)
def test_another_server_has_not_failed(
    page: Client, organisation: Organisation, change: dict[str, Any], rests: bool
) -> None:
    row = resting(organisation)
    page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": ""} | change)
    assert (stored().failures, bool(stored().rest_until)) == ((6, True) if rests else (0, False))
    assert due() == (0 if rests else 1)


@pytest.mark.behaviour(25)
def test_rate_is_kept_and_shown_and_taken_away(page: Client, organisation: Organisation) -> None:
    page.post(NEW, FIELDS | {"rate_per_minute": 120})
    row = stored()
    assert row.rate_per_minute == 120
    assert "<dd>120</dd>" in page.get(f"{LIST}{row.id}/").text
    page.post(f"{LIST}{row.id}/edit/", FIELDS | {"secret": "", "rate_per_minute": ""})
    assert (stored().rate_per_minute, stored().version) == (None, 1)
    assert "as many as it takes" in page.get(f"{LIST}{row.id}/").text


def test_removing_asks_first(page: Client, organisation: Organisation) -> None:
    row = signs_in(organisation)
    assert "Pause the route instead" in page.get(f"{LIST}{row.id}/remove/").text
    page.post(f"{LIST}{row.id}/remove/")
    with build.as_owner():
        assert not Route.objects.exists()
    assert [name for name, _ in acts()] == ["route.removed"]


class TestConnection:
    @pytest.fixture(autouse=True)
    def _generous(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("accounts.limits._wait", lambda *args: 0)
        refuse_quickly(monkeypatch)

    def test_signs_in_over_tls_and_sends_nothing(
        self, page: Client, organisation: Organisation, settings, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path)
        settings.RELAY_CA_FILE = str(authority.ca_file)
        with threaded(FarEnd(tls=authority.server("127.0.0.1"))) as far_end:
            settings.RELAY_EGRESS_LOOPBACK_PORTS = [far_end.port]
            row = resting(organisation, host="127.0.0.1", port=far_end.port)
            text = page.post(f"{LIST}{row.id}/test/").text
        assert "It works: connected and signed in" in text
        assert "answers since" in text
        assert "<code>127.0.0.1</code></dd>" in text  # of its certificate
        assert "addresses in every script" in text
        assert "mail of any size" in text
        # So there is nothing to wait for.
        assert (stored().failures, stored().rest_until, due()) == (0, None, 1)
        assert "rests until" not in text
        assert "certificate checked" in text
        assert "<html" in text
        assert far_end.ledger == []
        assert [name for name, _ in acts()] == ["route.tested"]

    def test_refused_password_is_told_in_the_servers_words(
        self, page: Client, organisation: Organisation, settings, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path)
        settings.RELAY_CA_FILE = str(authority.ca_file)
        script = Script(auth="535 5.7.8 <b>no</b> such account")
        with threaded(FarEnd(script, tls=authority.server("127.0.0.1"))) as far_end:
            settings.RELAY_EGRESS_LOOPBACK_PORTS = [far_end.port]
            row = signs_in(organisation, host="127.0.0.1", port=far_end.port)
            response = page.post(f"{LIST}{row.id}/test/", headers={"hx-request": "true"})
        assert "535 5.7.8 &lt;b&gt;no&lt;/b&gt; such account" in response.text
        assert "it ended while signing in" in response.text
        assert "Check the user name and the secret" in response.text
        assert (stored().failed_code, stored().failed_stage) == (535, "auth")
        assert "<html" not in response.text

    def test_false_certificate_is_told_as_such(
        self, page: Client, organisation: Organisation, settings, tmp_path: Path
    ) -> None:
        with threaded(FarEnd(tls=Authority(tmp_path).server("127.0.0.1"))) as far_end:
            settings.RELAY_EGRESS_LOOPBACK_PORTS = [far_end.port]
            row = resting(organisation, host="127.0.0.1", port=far_end.port)
            text = page.post(f"{LIST}{row.id}/test/").text
        assert "No secure connection could be made" in text
        assert "self-signed certificate" in text or "unable to get local issuer" in text
        assert "Testbed CA" in text
        assert (stored().failures, due()) == (6, 0)
        assert not any(line.startswith("AUTH") for line in far_end.commands)

    def test_server_that_drips_is_told_by_its_step(
        self, page: Client, organisation: Organisation, settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quick = replace(probing.TIMEOUTS, greeting=5, command=5, session=0.5)
        monkeypatch.setattr(probing, "TIMEOUTS", quick)
        script = Script(ehlo=Slow(0.2, "250-far.example\n250 SIZE", drip=True))
        with threaded(FarEnd(script)) as far_end:
            settings.RELAY_EGRESS_LOOPBACK_PORTS = [far_end.port]
            row = route(organisation, host="127.0.0.1", port=far_end.port, security="none")
            text = page.post(f"{LIST}{row.id}/test/").text
        assert "it ended after saying hello" in text
        assert "no reply in time" in text

    @pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
    def test_inner_addresses_answer_alike_and_get_no_connection(
        self, page: Client, organisation: Organisation, host: str
    ) -> None:
        row = route(organisation, host=host)
        text = page.post(f"{LIST}{row.id}/test/").text
        assert "this server address cannot be used" in text
        assert "Addresses of inner networks cannot be used" in text


def test_connection_tests_are_limited_to_ten_an_hour(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_quickly(monkeypatch)
    row = route(organisation, host="127.0.0.1")
    texts = [page.post(f"{LIST}{row.id}/test/").text for _ in range(11)]
    assert ["Too many tries" in text for text in texts] == [False] * 10 + [True]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_waits_for_the_server(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_quickly(monkeypatch)
    real, open_while_waiting = probing._probe, []

    def probe(target: RouteTarget) -> Coroutine[Any, Any, Probed]:
        # Read before the event loop runs, which would have a connection of its own.
        open_while_waiting.append(connection.in_atomic_block)
        return real(target)

    monkeypatch.setattr(probing, "_probe", probe)
    row = signs_in(organisation, host="127.0.0.1")
    assert "It does not work" in page.post(f"{LIST}{row.id}/test/").text
    assert open_while_waiting == [False]
    assert [name for name, _ in acts()] == ["route.tested"]


TAILS = ("", "edit/", "test/", "pause/", "resume/", "remove/", "order/")


def test_another_organisation_gets_what_a_missing_id_gets(
    organisation: Organisation, carl: User
) -> None:
    row, client = signs_in(organisation), pages.signed_in(carl)
    for tail in TAILS:
        for method in (client.get, client.post):
            found, absent = method(f"{LIST}{row.id}/{tail}"), method(f"{LIST}{carl.id}/{tail}")
            assert found.status_code == absent.status_code
            assert found.status_code in (404, 405)
    assert "mail.due.example" not in client.get(LIST).text
    assert (stored().paused_at, acts()) == (None, [])


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(organisation: Organisation, role: Role) -> None:
    row, client = signs_in(organisation), pages.member(organisation, role)
    for tail in TAILS[1:]:
        assert client.post(f"{LIST}{row.id}/{tail}").status_code == 403
    for path in (NEW, DIRECT, f"{LIST}{row.id}/edit/", f"{LIST}{row.id}/remove/"):
        assert client.get(path).status_code == 403
    reads = 200 if role == Role.VIEWER else 403
    shown = client.get(f"{LIST}{row.id}/")
    assert client.get(LIST).status_code == shown.status_code == reads
    assert "brevdue</code>" not in shown.text


def test_list_takes_the_same_queries_however_long(
    page: Client, organisation: Organisation, django_assert_num_queries
) -> None:
    for count in (1, 30):
        for number in range(count):
            route(organisation, name=f"r{count}-{number}")
        with django_assert_num_queries(17):
            assert f"r{count}-0" in page.get(LIST).text
