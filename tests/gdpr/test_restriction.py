# SPDX-License-Identifier: AGPL-3.0-or-later
"""Restriction of an account: several grounds, one mechanism, and what it stops meanwhile."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts import emails, vault
from accounts.models import AuditEvent, Consent, Organisation, OutgoingMail, User
from accounts.tenancy import person_context
from gdpr import deciding
from gdpr.models import Correction, PersonRestriction, RequestedRight, Right
from gdpr.rights import erasure, rectification, restriction
from gdpr.rights.rectification import Wish
from gdpr.rights.restriction import Ground
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.accounts.visiting import at, leads_to, prove, visit

pytestmark = pytest.mark.django_db

State = RequestedRight.State
ASK = {"ground": "claims", "words": "Der er en sag."}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.now = datetime.now(UTC)
    monkeypatch.setattr("accounts.clock.now", clock)
    return clock


@pytest.fixture
def browser(bo: User, organisation: Organisation) -> Client:
    """Bo's, who has just proved that it is him."""
    client = visit(bo, organisation)
    prove(client)
    return client


def fresh(person: User) -> User:
    with build.as_owner():
        return User.objects.get(pk=person.pk)


def grounds(person: User) -> list[str]:
    with build.as_owner():
        return list(restriction.in_force(person).values_list("ground", flat=True))


def right() -> RequestedRight:
    with build.as_owner():
        return RequestedRight.objects.select_related("request").latest("request__received_at")


def mailed(kind: str) -> list[dict[str, str]]:
    with build.as_owner():
        rows = OutgoingMail.objects.filter(kind=kind).order_by("created_at")
        return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


def letters(word: str) -> list[dict[str, str]]:
    """The letters that have a word in their subject."""
    return [letter for letter in mailed("gdpr/letter") if word in letter["subject"]]


def end_due(clock: Clock) -> int:
    with build.as_role("duty"):
        return restriction.end_due(clock.now)


def test_account_is_restricted_at_once_and_reaches_its_rights_alone(
    browser: Client, bo: User, clock: Clock
) -> None:
    assert leads_to(browser.post(at("gdpr:restriction-ask"), ASK), "gdpr:restriction")
    assert fresh(bo).restricted_at == clock.now
    assert (right().right, right().state) == (Right.RESTRICTION, State.DONE)
    assert len(letters("Svar")) == 1
    text = browser.get(at("home"), follow=True).text
    assert "You need the data for a legal claim" in text
    for page in ("relay:log", "accounts:profile", "accounts:team"):
        assert leads_to(browser.get(at(page)), "gdpr:erasure"), page
    for page in ("gdpr:requests", "gdpr:request-new", "gdpr:correction", "gdpr:objection"):
        assert browser.get(at(page)).status_code == 200, page


def test_person_ends_it_when_they_like(browser: Client, bo: User) -> None:
    browser.post(at("gdpr:restriction-ask"), ASK)
    assert "used as before" in browser.post(at("gdpr:restriction-end"), follow=True).text
    assert fresh(bo).restricted_at is None
    assert browser.get(at("home")).status_code == 200
    assert "Nothing of this account" in browser.post(at("gdpr:restriction-end"), follow=True).text
    with build.as_owner():
        acts = set(AuditEvent.objects.values_list("action", flat=True))
    assert "restriction.ended" in acts


@pytest.mark.parametrize("data", [{}, ASK | {"ground": "cool_down"}, ASK | {"ground": "x"}])
def test_no_other_ground_can_be_chosen(browser: Client, bo: User, data: dict[str, str]) -> None:
    assert browser.post(at("gdpr:restriction-ask"), data).status_code == 200
    assert fresh(bo).restricted_at is None


@pytest.mark.parametrize("page", ["gdpr:restriction-ask", "gdpr:restriction-end"])
def test_beginning_and_ending_it_need_a_fresh_step_up(
    bo: User, organisation: Organisation, clock: Clock, page: str
) -> None:
    with build.as_owner():
        restriction.impose(bo, Ground.CLAIMS, clock.now)
    client = visit(bo, organisation)
    assert leads_to(client.get(at(page)), "accounts:step-up")
    assert leads_to(client.post(at(page), ASK), "accounts:step-up")
    assert grounds(bo) == [Ground.CLAIMS]
    prove(client)
    assert client.get(at(page)).status_code == 200
    assert grounds(bo) == [Ground.CLAIMS]


def test_restriction_lasts_until_its_last_ground_ends(
    browser: Client, bo: User, clock: Clock
) -> None:
    began = clock.now
    browser.post(at("gdpr:restriction-ask"), ASK)
    clock.forward(hours=1)
    with person_context(bo.pk):
        erasure.ask(bo, clock.now, session_key=None)
    assert grounds(bo) == [Ground.CLAIMS, Ground.COOL_DOWN]
    with person_context(bo.pk):
        restriction.lift_own(bo, clock.now)
    assert grounds(bo) == [Ground.COOL_DOWN]
    assert fresh(bo).restricted_at == clock.now != began
    with person_context(bo.pk), pytest.raises(restriction.NotRestricted):
        restriction.lift_own(bo, clock.now)
    with person_context(bo.pk):
        erasure.cancel(bo, clock.now, session_key=None)
    assert fresh(bo).restricted_at is None


@pytest.mark.parametrize(
    ("kind", "goes"),
    [("role_changed", False), ("membership_ended", False), ("password_changed", True)],
)
def test_mail_that_is_not_about_rights_or_security_stays(
    bo: User, organisation: Organisation, clock: Clock, kind: str, goes: bool
) -> None:
    with build.as_owner():
        membership = bo.memberships.get()
        membership.user = bo
        about: Any = bo if kind == "password_changed" else membership
        getattr(emails, kind)(about)
        restriction.impose(bo, Ground.CLAIMS, clock.now)
        getattr(emails, kind)(about)
    assert len(mailed(kind)) == 1 + goes


def contested(person: User, now: Any, field: str = "") -> RequestedRight:
    with person_context(person.pk):
        rectification.ask(person, Wish(field, "Bodil", "Pas", restrict=True), now)
    return right()


def decide(row: RequestedRight, dorte: User, now: Any, *what: str) -> None:
    with build.as_role("staff"), person_context(dorte.pk):
        for one in what:
            row = RequestedRight.objects.get(pk=row.pk)
            deciding.decide(row, one, dorte, now, reason="Passet viser det modsatte.")


def test_contested_accuracy_restricts_until_it_is_decided_and_told(
    bo: User, organisation: Organisation, dorte: User, clock: Clock
) -> None:
    row = contested(bo, clock.now)
    assert grounds(bo) == [Ground.ACCURACY]
    decide(row, dorte, clock.now, State.REFUSED)
    (letter,) = letters("ophører")
    assert letter["to"] == bo.email
    clock.forward(days=restriction.NOTICE_DAYS, seconds=-1)
    assert end_due(clock) == 0
    assert fresh(bo).restricted_at is not None
    clock.forward(seconds=1)
    assert end_due(clock) == 1
    assert fresh(bo).restricted_at is None
    assert end_due(clock) == 0


def test_correction_that_is_made_ends_the_restriction_after_its_notice(
    bo: User, organisation: Organisation, dorte: User, clock: Clock
) -> None:
    row = contested(bo, clock.now)
    decide(row, dorte, clock.now, deciding.ACCEPT)
    assert len(letters("ophører")) == 1
    clock.forward(days=restriction.NOTICE_DAYS)
    assert end_due(clock) == 1


def test_who_takes_the_correction_back_is_restricted_no_more(
    browser: Client, bo: User, clock: Clock
) -> None:
    row = contested(bo, clock.now)
    browser.post(at("gdpr:request-withdraw", row.request_id, Right.RECTIFICATION))
    assert fresh(bo).restricted_at is None
    assert letters("ophører") == []


def test_correction_that_staff_note_as_taken_back_restricts_no_more(
    bo: User, organisation: Organisation, dorte: User, clock: Clock
) -> None:
    row = contested(bo, clock.now)
    decide(row, dorte, clock.now, State.WITHDRAWN)
    assert fresh(bo).restricted_at is None
    assert letters("ophører") == []


def test_form_offers_the_restriction_with_the_correction(
    browser: Client, bo: User, clock: Clock
) -> None:
    data = {"field": "other", "value": "Bo Krogh", "evidence": "", "restrict": "on"}
    browser.post(at("gdpr:correction"), data)
    assert grounds(bo) == [Ground.ACCURACY]


def staff_page(name: str, *args: object) -> str:
    with override("en"):
        return reverse(f"admin:{name}", args=args)


def test_staff_see_what_would_change(bo: User, organisation: Organisation, dorte: User) -> None:
    clock_now = build.NOW
    row = contested(bo, clock_now, field="accounts.User.email")
    with build.as_owner():
        Correction.objects.update(value="bo@ny.example")
    text = verified(dorte).get(staff_page("gdpr_requestedright_change", row.pk)).text
    assert f"<del>{bo.email}</del> <ins>bo@ny.example</ins>" in text


def test_person_sees_what_would_change_until_it_is_decided(
    browser: Client, bo: User, dorte: User, clock: Clock
) -> None:
    data = {"field": "accounts.User.email", "value": "bo@ny.example", "evidence": "Nyt job"}
    page = browser.post(at("gdpr:correction"), data, follow=True)
    path = page.redirect_chain[-1][0]
    assert re.search(rf"Today.*{bo.email}.*Should be.*bo@ny.example", page.text, re.DOTALL)
    decide(right(), dorte, clock.now, State.REFUSED)
    assert "bo@ny.example" not in browser.get(path).text


def test_staff_announce_the_end_of_what_hangs_on_nothing(
    bo: User, organisation: Organisation, dorte: User, clock: Clock
) -> None:
    with build.as_owner():
        free = restriction.impose(bo, Ground.CLAIMS, clock.now)
    bound = contested(bo, clock.now)
    page = verified(dorte)
    path = staff_page("gdpr_personrestriction_changelist")

    def announce(key: object) -> str:
        data = {"action": "announce", "_selected_action": [str(key)]}
        return page.post(path, data, follow=True).text

    assert "It ends in 3 days" in announce(free.pk)
    with build.as_owner():
        tied = PersonRestriction.objects.get(right=bound)
    assert "could be ended here" in announce(tied.pk)
    assert "could be ended here" in announce(free.pk)
    with build.as_owner():
        assert PersonRestriction.objects.filter(ends_at=None).get() == tied
        last = AuditEvent.objects.filter(action="restriction.announced").get()
    assert last.actor_id is not None
    clock.forward(days=3)
    assert end_due(clock) == 1
    assert grounds(bo) == [Ground.ACCURACY]


def test_staff_look_at_a_restricted_person_for_a_reason_alone(
    bo: User, organisation: Organisation, dorte: User, clock: Clock
) -> None:
    page, path = verified(dorte), staff_page("accounts_user_change", bo.pk)
    people = staff_page("accounts_user_changelist")
    assert "Krog" in page.get(path).text
    assert "Krog" in page.get(people).text
    with build.as_owner():
        restriction.impose(bo, Ground.CLAIMS, clock.now)
    for query in ("", "?because=", "?because=curious"):
        answer = page.get(path + query)
        assert "This account is restricted" in answer.text
        assert "Krog" not in answer.text
    assert "Krog" not in page.get(people).text
    assert "Krog" in page.get(f"{path}?because=claims").text
    with build.as_owner():
        looks = AuditEvent.objects.filter(action="person.viewed").order_by("id")
        assert [look.fields for look in looks] == [[], ["because-claims"]]


def test_objection_restricts_until_it_is_weighed(
    browser: Client, bo: User, dorte: User, clock: Clock
) -> None:
    newsletter(bo, clock)
    answer = browser.post(at("gdpr:objection"), {"what": "use", "words": "Jeg vil ikke måles."})
    assert open_consents(bo) == 0
    row = right()
    assert leads_to(answer, "gdpr:request", row.request_id)
    assert (row.state, grounds(bo)) == (State.ASSESS, [Ground.OBJECTION])
    assert len(letters("")) == 1
    decide(row, dorte, clock.now, State.ACT, State.DONE)
    assert len(letters("ophører")) == 1
    clock.forward(days=restriction.NOTICE_DAYS)
    assert end_due(clock) == 1
    assert fresh(bo).restricted_at is None


def test_objection_to_marketing_is_done_at_once_and_restricts_nothing(
    browser: Client, bo: User, clock: Clock
) -> None:
    newsletter(bo, clock)
    browser.post(at("gdpr:objection"), {"what": "marketing", "words": ""})
    assert (right().state, grounds(bo)) == (State.DONE, [])
    assert len(letters("Svar")) == 1
    assert open_consents(bo) == 0


def newsletter(person: User, clock: Clock) -> None:
    with build.as_owner():
        Consent.objects.create(
            user=person, purpose="newsletter", version=1, language="da", digest="x",
            given_in="profile", given_at=clock.now, confirmed_at=clock.now,
        )  # fmt: skip
    assert open_consents(person) == 1


def open_consents(person: User) -> int:
    with build.as_owner():
        return Consent.objects.filter(user=person, withdrawn_at=None).count()


def test_objection_to_a_use_says_which(browser: Client) -> None:
    assert "aria-invalid" in browser.post(at("gdpr:objection"), {"what": "use"}).text
    with build.as_owner():
        assert not RequestedRight.objects.exists()


def test_others_see_nothing_of_a_restriction(
    bo: User, carl: User, organisation: Organisation, clock: Clock
) -> None:
    with build.as_owner():
        restriction.impose(bo, Ground.CLAIMS, clock.now)
    with person_context(carl.pk):
        assert not PersonRestriction.objects.exists()
    with person_context(bo.pk):
        assert PersonRestriction.objects.count() == 1


def test_times_are_told_from_when_it_began(bo: User, clock: Clock) -> None:
    first = clock.now
    with build.as_owner():
        restriction.impose(bo, Ground.CLAIMS, first)
        restriction.impose(bo, Ground.UNLAWFUL, first + timedelta(hours=2))
    assert fresh(bo).restricted_at == first
