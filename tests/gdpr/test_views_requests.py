# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's own requests in the portal, from asking to the last second of a package."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

import accounts.clock
from accounts import stepup
from accounts.models import AuditEvent, Organisation, OutgoingMail, Role, User
from accounts.sessions import SessionStore
from gdpr import packing, requests
from gdpr.models import Correction, Erasure, Package, Request, RequestedRight, Right, Step
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

NEW = "gdpr:request-new"


@pytest.fixture
def here(organisation: Organisation, anna: User, clock: Clock) -> Client:
    """Anna's browser, in which she has just proven that it is her."""
    return proven(anna)


def proven(user: User) -> Client:
    client = visit(user)
    session = SessionStore(client.cookies["sessionid"].value)
    session[stepup.SESSION_KEY] = accounts.clock.now().isoformat()
    session.save()
    return client


def ask(client: Client, *rights: Right) -> Any:
    return client.post(at(NEW), {"rights": list(rights), "csrfmiddlewaretoken": "of a browser"})


def wish(client: Client) -> RequestedRight:
    """Ask for something that people assess."""
    client.post(at("gdpr:correction"), {"field": "other", "value": "Anne", "evidence": "A letter"})
    with build.as_owner():
        return RequestedRight.objects.get()


def asked() -> Request:
    with build.as_owner():
        return Request.objects.get()


def work() -> None:
    """A round of the worker, in its role."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE duty")
    assert packing.pack_due() == 1
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE web")


def ready(client: Client) -> tuple[UUID, UUID]:
    ask(client, Right.PORTABILITY)
    work()
    with build.as_owner():
        return asked().id, Package.objects.get().id


def test_empty_list_says_what_to_do(here: Client) -> None:
    text = here.get(at("gdpr:requests")).text
    assert "No requests yet" in text
    assert at(NEW) in text


def test_asking_needs_a_step_up(organisation: Organisation, anna: User) -> None:
    client = visit(anna)
    assert leads_to(client.get(at(NEW)), "accounts:step-up")
    assert leads_to(ask(client, Right.ACCESS), "accounts:step-up")
    with build.as_owner():
        assert not Request.objects.exists()


def test_request_shows_clocks_steps_and_progress(here: Client, clock: Clock) -> None:
    assert leads_to(ask(here, Right.ACCESS), "gdpr:request", asked().id)
    with build.as_owner():
        RequestedRight.objects.update(details="My phone number.")
    text = here.get(at("gdpr:request", asked().id)).text
    assert "20 December 2026" in text
    assert "21 December 2026" in text
    assert "30 days left" in text
    assert "My phone number." in text
    assert "<progress" in text
    assert 'hx-trigger="every 2s"' in text
    assert "Datatilsynet" in text
    assert "being carried out" in text


class TestBundle:
    """Several rights in one request: each has an answer of its own."""

    def test_every_right_is_asked_for_in_one_form(self, here: Client) -> None:
        page = here.get(at(NEW)).text
        assert all(f'value="{right}"' in page for right in Right)
        text = here.get(at("gdpr:requests")).text
        assert f"mailto:{settings.PRIVACY_EMAIL}" in text
        assert settings.OPERATOR_ADDRESS in text

    def test_each_has_its_state_and_its_words(self, here: Client, anna: User) -> None:
        words = {
            "restriction": "Not my phone number.",
            "objection": "No statistics about me.",
            "review": "The stop of due.example.",
            "field": "other",
            "value": "Anne",
            "evidence": "A letter",
        }
        rights = sorted(set(Right) - {Right.ERASURE})
        here.post(at(NEW), {"rights": rights, **words})
        with build.as_owner():
            rows = {row.right: row for row in asked().rights.all()}
            wish = Correction.objects.get()
        assert sorted(rows) == rights
        assert rows[Right.RESTRICTION].details == "Not my phone number."
        assert rows[Right.OBJECTION].details == "No statistics about me."
        assert (wish.right_id, wish.value) == (rows[Right.RECTIFICATION].pk, "Anne")
        states = {right: row.state for right, row in rows.items()}
        assert {states[Right.ACCESS], states[Right.PORTABILITY]} == {"act"}
        assert states[Right.OBJECTION] == states[Right.RECTIFICATION] == "assess"

    def test_erasure_in_a_bundle_restricts_and_leaves_the_rest_to_be_fetched(
        self, organisation: Organisation, here: Client, anna: User
    ) -> None:
        second = build.person("Ejer", "Due")
        build.member(organisation, second, Role.OWNER)
        answer = ask(here, Right.ACCESS, Right.ERASURE)
        assert leads_to(answer, "gdpr:request", asked().id)
        with build.as_owner():
            anna.refresh_from_db()
            assert Erasure.objects.get().state == "waiting"
            assert Package.objects.get().state == "waiting"
        assert anna.restricted_at is not None
        assert here.get(at("gdpr:request", asked().id)).status_code == 200

    def test_only_owner_is_told_and_nothing_is_asked_for(self, here: Client) -> None:
        assert "only owner" in ask(here, Right.ACCESS, Right.ERASURE).text
        with build.as_owner():
            assert not Request.objects.exists()

    @pytest.mark.parametrize("right", [Right.RESTRICTION, Right.OBJECTION, Right.REVIEW])
    def test_what_has_to_be_explained_is_asked_near_its_field(
        self, here: Client, right: Right
    ) -> None:
        text = ask(here, right).text
        assert "Needed for what you have ticked" in text
        assert f'href="#id_{right}"' in text
        with build.as_owner():
            assert not Request.objects.exists()

    def test_correction_needs_what_it_should_be(self, here: Client) -> None:
        assert 'href="#id_value"' in ask(here, Right.RECTIFICATION).text
        with build.as_owner():
            assert not Request.objects.exists()


def test_nothing_asked_is_explained(here: Client) -> None:
    assert "Look at the marked fields" in ask(here).text
    with build.as_owner():
        assert not Request.objects.exists()


def test_same_right_twice_is_refused_with_a_sentence(here: Client) -> None:
    ask(here, Right.ACCESS)
    assert "asked for that already" in ask(here, Right.ACCESS).text


def test_received_is_confirmed_by_mail_where_people_answer(here: Client) -> None:
    wish(here)
    with build.as_owner():
        assert OutgoingMail.objects.get().kind == "gdpr/letter"


def test_package_is_downloaded_and_each_time_is_logged(
    here: Client, clock: Clock, anna: User
) -> None:
    path = at("gdpr:package", *ready(here))
    answer = here.get(path)
    content = answer.getvalue()
    assert json.loads(zipfile.ZipFile(io.BytesIO(content)).read("manifest.json"))
    assert answer.headers["Content-Length"] == str(len(content))
    assert re.match(
        r'attachment; filename="brevdue-[\w-]+\.zip"', answer.headers["Content-Disposition"]
    )
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Referrer-Policy"] == "same-origin"
    here.get(path)
    with build.as_owner():
        assert Step.objects.filter(kind=Step.Kind.DOWNLOADED, by="person").count() == 2
        assert AuditEvent.objects.filter(action="package.downloaded").count() == 2


def test_download_needs_a_step_up_and_the_right_person(
    here: Client, clock: Clock, anna: User, carl: User
) -> None:
    path = at("gdpr:package", *ready(here))
    assert leads_to(visit(anna).get(path), "accounts:step-up")
    assert proven(carl).get(path).status_code == 404
    assert here.head(path).status_code == 405
    with build.as_owner():
        assert not Step.objects.filter(kind=Step.Kind.DOWNLOADED).exists()


def test_package_that_had_its_time_is_explained(here: Client, clock: Clock, anna: User) -> None:
    numbers = ready(here)
    with build.as_owner():
        Package.objects.update(expires_at=build.NOW)
    assert "had its time" in here.get(at("gdpr:request", numbers[0])).text
    answer = here.get(at("gdpr:package", *numbers), follow=True)
    assert "no longer there" in answer.text


def test_person_may_have_it_destroyed_at_once(here: Client, clock: Clock) -> None:
    numbers = ready(here)
    assert "Destroy it now" in here.get(at("gdpr:request", numbers[0])).text
    here.post(at("gdpr:package-end", *numbers))
    answer = here.get(at("gdpr:package", *numbers), follow=True)
    assert "no longer there" in answer.text


def test_withdrawn_request_is_not_carried_out(here: Client, clock: Clock) -> None:
    ask(here, Right.ACCESS)
    withdraw = at("gdpr:request-withdraw", asked().id, Right.ACCESS)
    assert leads_to(here.post(withdraw), "gdpr:request", asked().id)
    with build.as_owner():
        assert RequestedRight.objects.get().state == "withdrawn"
        assert not Package.objects.exists()
    assert "not in a state" in here.post(withdraw, follow=True).text


def test_withdrawn_correction_is_forgotten_even_by_who_is_restricted(
    here: Client, clock: Clock, anna: User
) -> None:
    row = wish(here)
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(restricted_at=build.NOW)
    withdraw = at("gdpr:request-withdraw", row.request_id, row.right)
    assert leads_to(here.post(withdraw), "gdpr:request", row.request_id)
    with build.as_owner():
        row.refresh_from_db()
        kept = Correction.objects.get()
    assert row.state == "withdrawn"
    assert (kept.value, kept.evidence) == ("", "")


@pytest.mark.parametrize("state", ["failed", "ready"])
def test_page_looks_again_only_while_a_package_is_made(
    here: Client, clock: Clock, anna: User, state: str
) -> None:
    """Not when it has failed or had its time, and not when people look at the request first."""
    with build.as_owner():
        made = build.request_of(anna, Right.ACCESS)
        build.package_of(made, state=state, made_at=build.NOW, expires_at=build.NOW)
        made.rights.update(state="act")
    page = at("gdpr:request", made.id)
    assert 'hx-trigger="every 2s"' not in here.get(page).text
    with build.as_owner():
        Package.objects.update(state="waiting")
    assert 'hx-trigger="every 2s"' in here.get(page).text
    with build.as_owner():
        made.rights.update(state="assess")
    text = here.get(page).text
    assert 'hx-trigger="every 2s"' not in text
    assert "We look at the request" in text


def test_question_is_answered_on_the_page(here: Client, clock: Clock) -> None:
    row = wish(here)
    page = at("gdpr:request", row.request_id)
    answer = at("gdpr:request-answer", row.request_id, row.right)
    assert "not in a state" in here.post(answer, {"answer": "x"}, follow=True).text
    with build.as_owner():
        requests.move(row, "paused", requests.SERVICE, build.NOW, reason="Which data?")
    clock.forward(minutes=1)
    assert "Which data?" in here.get(page).text
    assert "Write your answer first." in here.post(answer, {"answer": " "}, follow=True).text
    here.post(answer, {"answer": "My phone number."})
    text = here.get(page).text
    assert "Send the answer" not in text
    assert "My phone number." in text
    with build.as_owner():
        row.refresh_from_db()
        assert (row.state, Step.objects.last().by) == ("assess", "person")  # type: ignore[union-attr]


def test_question_asked_too_late_is_not_said_to_stop_the_clock(
    here: Client, clock: Clock, anna: User
) -> None:
    row = wish(here)
    with build.as_owner():
        late = build.NOW + timedelta(days=20)
        requests.move(row, "paused", requests.SERVICE, late, reason="Which data?")
    clock.forward(days=23)
    text = visit(anna).get(at("gdpr:request", row.request_id)).text
    assert "Which data?" in text
    assert "7 days left" in text
    assert "stands still" not in text


def test_progress_alone_is_asked_for_by_the_page(here: Client) -> None:
    ask(here, Right.ACCESS)
    part = here.get(at("gdpr:request", asked().id), headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div class="stack" id="standings"')
    assert "<html" not in part


class TestCorrection:
    def test_wish_is_assessed_by_staff(self, here: Client, anna: User) -> None:
        page = here.get(at("gdpr:correction")).text
        assert "e-mail address" in page
        wish = {"field": "accounts.User.email", "value": "anne@due.example", "evidence": "x"}
        assert leads_to(here.post(at("gdpr:correction"), wish), "gdpr:request", asked().id)
        with build.as_owner():
            assert RequestedRight.objects.get().state == "assess"
            assert Correction.objects.get().value == "anne@due.example"
            anna.refresh_from_db()
        assert anna.email == "anna@due.example"

    def test_address_must_be_one(self, here: Client) -> None:
        wish = {"field": "accounts.User.email", "value": "nowhere"}
        assert here.post(at("gdpr:correction"), wish).status_code == 200
        with build.as_owner():
            assert not Correction.objects.exists()


@pytest.mark.parametrize("name", ["gdpr:portability-schema", "gdpr:manifest-schema"])
def test_schema_is_public(client: Client, name: str) -> None:
    answer = client.get(at(name))
    assert answer.headers["Content-Type"] == "application/schema+json"
    assert json.loads(answer.content)["oneOf"]


@pytest.mark.parametrize("standing", ["suspended", "unpaid", "closing"])
def test_person_of_a_customer_in_any_standing_fetches_their_package(
    here: Client, organisation: Organisation, clock: Clock, standing: str
) -> None:
    with build.as_owner():
        Organisation.objects.update(standing=standing, sending_allowed=False)
    answer = here.get(at("gdpr:package", *ready(here)))
    assert zipfile.is_zipfile(io.BytesIO(answer.getvalue()))
