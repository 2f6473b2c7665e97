# SPDX-License-Identifier: AGPL-3.0-or-later
"""An organisation's inbox: its own requests with their clocks, and what it says of them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from accounts.models import Alert, AuditEvent, Membership, Organisation, Role, User
from accounts.tenancy import organisation_context
from gdpr.enquiries import inbox, watch
from gdpr.models import ForwardedRequest
from gdpr.requests import IllegalMove, ReasonMissing, TooLate
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to, visit
from tests.gdpr.enquiries.desk import mails

pytestmark = pytest.mark.django_db

State = ForwardedRequest.State
DAY = timedelta(days=1)


@pytest.fixture
def row(organisation: Organisation, clock: Clock) -> ForwardedRequest:
    return build.forwarded_to(organisation)


def fresh(row: ForwardedRequest) -> ForwardedRequest:
    with build.as_owner():
        return ForwardedRequest.objects.get(pk=row.pk)


def kinds() -> list[str]:
    with build.as_owner():
        open_ones = Alert.objects.filter(resolved_at=None).order_by("kind")
        return list(open_ones.values_list("kind", flat=True))


def escalate(clock: Clock) -> int:
    with build.as_role("duty"):
        return watch.escalate(clock.now)


def test_list_shows_who_asks_and_until_when(row: ForwardedRequest, anna: User) -> None:
    text = visit(anna).get(at("gdpr:inbox")).text
    assert "erik@" in text
    assert row.reference in text
    assert "30 days left" in text


def test_page_leads_to_what_there_is_of_the_address(row: ForwardedRequest, anna: User) -> None:
    client = visit(anna)
    text = client.get(at("gdpr:inbox-request", row.id)).text
    link = re.search(r'href="(/en/correspondents/[^"]+/)"', text)
    assert link
    assert "erik" not in link[1]
    assert "modtager.example" in client.get(link[1]).text


def test_empty_list_says_what_comes_here(anna: User, organisation: Organisation) -> None:
    assert "Nobody has asked" in visit(anna).get(at("gdpr:inbox")).text


def test_stranger_sees_none_of_it(
    row: ForwardedRequest, carl: User, other_organisation: Organisation
) -> None:
    client = visit(carl)
    assert row.reference not in client.get(at("gdpr:inbox")).text
    for answer in (
        client.get(at("gdpr:inbox-request", row.id)),
        client.post(at("gdpr:inbox-request", row.id), {"what": "answered"}),
    ):
        assert answer.status_code == 404
    assert fresh(row).state == State.NEW
    with organisation_context(other_organisation.id):
        assert not ForwardedRequest.objects.exists()
        assert ForwardedRequest.objects.filter(pk=row.pk).update(state="taken") == 0


@pytest.mark.parametrize("standing", Organisation.Standing.values)
def test_inbox_works_however_the_organisation_stands(
    row: ForwardedRequest, anna: User, organisation: Organisation, standing: str
) -> None:
    with build.as_owner():
        Organisation.objects.filter(pk=organisation.pk).update(standing=standing)
    client = visit(anna)
    assert row.reference in client.get(at("gdpr:inbox")).text
    client.post(at("gdpr:inbox-request", row.id), {"what": "taken"})
    assert fresh(row).state == State.TAKEN


def test_each_step_is_noted_and_recorded(row: ForwardedRequest, anna: User, clock: Clock) -> None:
    client = visit(anna)
    for what in ("taken", "answered"):
        answer = client.post(at("gdpr:inbox-request", row.id), {"what": what})
        assert leads_to(answer, "gdpr:inbox-request", row.id)
    assert fresh(row).closed_at == clock.now
    with build.as_owner():
        acts = AuditEvent.objects.order_by("id").values_list("action", flat=True)
        assert list(acts) == ["forwarded.taken", "forwarded.answered"]
    assert "What you have done" not in client.get(at("gdpr:inbox-request", row.id)).text


def test_refusal_needs_its_reasons(row: ForwardedRequest, anna: User) -> None:
    client = visit(anna)
    answer = client.post(at("gdpr:inbox-request", row.id), {"what": "refused", "reason": "  "})
    assert "the person is entitled" in answer.text
    assert fresh(row).state == State.NEW
    client.post(at("gdpr:inbox-request", row.id), {"what": "refused", "reason": "<i>Nej</i>"})
    assert fresh(row).state == State.REFUSED
    assert "&lt;i&gt;Nej&lt;/i&gt;" in client.get(at("gdpr:inbox-request", row.id)).text


class TestKeyThatDoesNotFit:
    @pytest.fixture
    def unreadable(self, row: ForwardedRequest) -> ForwardedRequest:
        with build.as_owner():
            ForwardedRequest.objects.filter(pk=row.pk).update(sealed=b"of another key")
        return row

    def test_pages_say_so_and_the_clock_runs(
        self, unreadable: ForwardedRequest, organisation: Organisation, anna: User
    ) -> None:
        other, client = build.forwarded_to(organisation), visit(anna)
        listed = client.get(at("gdpr:inbox")).text
        assert "cannot be opened" in listed
        assert unreadable.reference in listed
        assert other.reference in listed
        assert "erik@" in listed
        page = client.get(at("gdpr:inbox-request", unreadable.id)).text
        assert "The key that opens the address and the words does not fit." in page
        assert "days left" in page
        assert "/correspondents/" not in page.partition('aria-labelledby="asked"')[2]
        client.post(at("gdpr:inbox-request", unreadable.id), {"what": "taken"})
        assert fresh(unreadable).state == State.TAKEN

    def test_staff_are_told_until_it_fits(self, unreadable: ForwardedRequest, clock: Clock) -> None:
        escalate(clock)
        assert kinds() == [watch.UNREADABLE]
        with build.as_owner():
            ForwardedRequest.objects.update(sealed=unreadable.sealed)
        escalate(clock)
        assert kinds() == []


class TestActs:
    @pytest.fixture
    def by(self, organisation: Organisation, anna: User) -> Membership:
        with build.as_owner():
            return Membership.objects.select_related("user", "organisation").get(user=anna)

    def test_what_is_closed_is_not_moved(self, row: ForwardedRequest, by: Membership) -> None:
        with organisation_context(by.organisation_id, person_id=by.user_id):
            inbox.record(row, "not_ours", by, build.NOW)
            for what in ("taken", "answered", inbox.EXTEND, "new", "x"):
                with pytest.raises(IllegalMove):
                    inbox.record(row, what, by, build.NOW, reason="Fordi.")

    def test_extension_gives_three_months_once_and_with_reasons(
        self, row: ForwardedRequest, by: Membership
    ) -> None:
        with organisation_context(by.organisation_id, person_id=by.user_id):
            with pytest.raises(ReasonMissing):
                inbox.record(row, inbox.EXTEND, by, build.NOW)
            inbox.record(row, inbox.EXTEND, by, build.NOW, reason="Mange mails.")
            assert fresh(row).promised_on.isoformat() == "2027-02-20"
            assert fresh(row).due_on.isoformat() == "2027-02-22"
            with pytest.raises(IllegalMove):
                inbox.record(row, inbox.EXTEND, by, build.NOW, reason="Flere.")

    def test_reasons_of_an_extension_stand_after_the_answer(
        self, row: ForwardedRequest, by: Membership
    ) -> None:
        with organisation_context(by.organisation_id, person_id=by.user_id):
            inbox.record(row, inbox.EXTEND, by, build.NOW, reason="Mange mails.")
            inbox.record(row, "answered", by, build.NOW)
        assert fresh(row).reason == "Mange mails."

    def test_extension_comes_before_the_limit(self, row: ForwardedRequest, by: Membership) -> None:
        with organisation_context(by.organisation_id, person_id=by.user_id), pytest.raises(TooLate):
            inbox.record(row, inbox.EXTEND, by, build.NOW + 32 * DAY, reason="Mange mails.")


def test_clock_is_told_to_the_organisation_and_at_last_to_staff(
    row: ForwardedRequest, clock: Clock
) -> None:
    told = []
    for _ in range(33):
        escalate(clock)
        told.append((len(mails("forwarded_due")), kinds()))
        clock.forward(days=1)
    assert told[14] == (0, [])
    assert told[15] == told[23] == (1, [])
    assert told[24] == told[26] == (2, [])
    assert told[27] == told[30] == (3, [watch.UNANSWERED])
    assert told[31] == told[32] == (4, [watch.UNANSWERED])


def test_answer_settles_the_clock(row: ForwardedRequest, clock: Clock) -> None:
    clock.forward(days=31)
    escalate(clock)
    assert kinds() == [watch.UNANSWERED]
    with build.as_owner():
        ForwardedRequest.objects.update(state=State.ANSWERED, closed_at=clock.now)
    escalate(clock)
    assert kinds() == []


def test_extension_begins_the_clock_anew(row: ForwardedRequest, anna: User, clock: Clock) -> None:
    clock.forward(days=28)
    escalate(clock)
    said = {"what": inbox.EXTEND, "reason": "Mange mails."}
    visit(anna).post(at("gdpr:inbox-request", row.id), said)
    escalate(clock)
    assert fresh(row).escalated == ""
    assert kinds() == []


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.VIEWER])
def test_other_roles_do_not_read_it(
    row: ForwardedRequest, organisation: Organisation, role: Role
) -> None:
    ida = build.person("Ida", "Ser")
    build.member(organisation, ida, role)
    assert visit(ida).get(at("gdpr:inbox-request", row.id)).status_code == 403
