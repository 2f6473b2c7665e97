# SPDX-License-Identifier: AGPL-3.0-or-later
"""The team through its pages: invited, let in, changed, removed; and the audit trail."""

from __future__ import annotations

from uuid import UUID

import pytest

from accounts import limits
from accounts.audit.trail import PAGE_LENGTH
from accounts.models import Invitation, Membership, Organisation, Role, User
from accounts.team import invite
from accounts.tenancy import organisation_context
from tests import build
from tests.accounts.test_signup import letters, token_in
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

# Session, person, second factor, memberships, the contexts, and six lists of the page.
QUERIES_OF_THE_TEAM = 21


@pytest.fixture
def ada(organisation: Organisation) -> User:
    """Administers Anna's organisation."""
    person = build.person("Ada", "Admin")
    build.member(organisation, person, Role.ADMIN)
    return person


def place(user: User) -> UUID:
    with build.as_owner():
        return Membership.objects.get(user=user).id


def role(user: User) -> str | None:
    with build.as_owner():
        row = Membership.objects.filter(user=user).first()
    return row.role if row else None


def invited(by: User, email: str = "ida@inviteret.example", role: Role = Role.VIEWER) -> UUID:
    with build.as_owner():
        membership = Membership.objects.get(user=by)
    with organisation_context(membership.organisation_id, person_id=by.id):
        return invite(email, role, by=membership).id


class TestMembers:
    def test_keepers_see_addresses_others_do_not(
        self, organisation: Organisation, anna: User, bo: User
    ):
        invited(anna)
        keeper, other = (visit(person).get(at("accounts:team")).text for person in (anna, bo))
        assert "bo@krog.example" in keeper
        assert "ida@inviteret.example" in keeper
        assert "Anna Due" in other
        assert "@" not in other.replace("@media", "")

    def test_nobody_of_another_organisation_is_listed(
        self, organisation: Organisation, bo: User, carl: User
    ):
        page = visit(carl).get(at("accounts:team")).text
        assert "Carl Fremmed" in page
        assert "Krog" not in page

    def test_second_factor_of_each_is_shown(self, organisation: Organisation, anna: User, bo: User):
        build.second_factor(bo)
        page = visit(anna).get(at("accounts:team")).text
        assert page.count('state-good">yes') == 1
        assert page.count('state-wait">no') == 1

    def test_queries_do_not_grow_with_the_team(
        self, organisation: Organisation, anna: User, django_assert_num_queries
    ):
        client = visit(anna)
        page = at("accounts:team")
        with django_assert_num_queries(QUERIES_OF_THE_TEAM):
            client.get(page)
        for number in range(130):
            person = build.person(f"P{number}", "Krog")
            build.member(organisation, person, Role.VIEWER)
        with django_assert_num_queries(QUERIES_OF_THE_TEAM):
            first = client.get(page)
        assert "?page=2" in first.text
        assert client.get(page, {"page": 2}).text.count("Joined") == 32


class TestInvitations:
    def test_mail_goes_out(self, organisation: Organisation, anna: User):
        client = visit(anna)
        assert "Invite somebody" in client.get(at("accounts:invite")).text
        values = {"email": "ida@inviteret.example", "role": Role.VIEWER}
        assert leads_to(client.post(at("accounts:invite"), values), "accounts:team")
        assert letters()[-1]["kind"] == "invitation"
        assert "ida@inviteret.example" in client.get(at("accounts:team")).text

    def test_member_is_not_invited_again(self, organisation: Organisation, anna: User, bo: User):
        values = {"email": "bo@krog.example", "role": Role.VIEWER}
        page = visit(anna).post(at("accounts:invite"), values)
        assert "in the organisation already" in page.text

    def test_administrator_makes_no_owner(self, organisation: Organisation, ada: User):
        client = visit(ada)
        assert 'value="owner"' not in client.get(at("accounts:invite")).text
        values = {"email": "ida@inviteret.example", "role": Role.OWNER}
        assert client.post(at("accounts:invite"), values).status_code == 200
        assert not letters()

    def test_too_many_are_429(self, organisation: Organisation, anna: User):
        for _ in range(20):
            limits.check(limits.INVITATIONS, str(organisation.id))
        values = {"email": "ida@inviteret.example", "role": Role.VIEWER}
        assert visit(anna).post(at("accounts:invite"), values).status_code == 429

    def test_withdrawing_takes_a_button(self, organisation: Organisation, anna: User):
        client, row = visit(anna), invited(anna)
        link = at("accounts:invitation", token_in(letters()[-1]))
        withdraw = at("accounts:invitation-withdraw", row)
        assert "ida@inviteret.example" in client.get(withdraw).text
        assert visit().get(link).status_code == 200
        assert leads_to(client.post(withdraw), "accounts:team")
        assert visit().get(link).status_code == 404

    def test_sending_again_voids_the_older_link(self, organisation: Organisation, anna: User):
        client, row = visit(anna), invited(anna)
        old = at("accounts:invitation", token_in(letters()[-1]))
        assert leads_to(client.post(at("accounts:invitation-resend", row)), "accounts:team")
        new = at("accounts:invitation", token_in(letters()[-1]))
        assert (visit().get(old).status_code, visit().get(new).status_code) == (404, 200)

    def test_sending_again_too_often_keeps_the_link(self, organisation: Organisation, anna: User):
        client, row = visit(anna), invited(anna)
        link = at("accounts:invitation", token_in(letters()[-1]))
        for _ in range(19):
            limits.check(limits.INVITATIONS, str(organisation.id))
        assert leads_to(client.post(at("accounts:invitation-resend", row)), "accounts:team")
        assert "Too many tries" in client.get(at("accounts:team")).text
        assert visit().get(link).status_code == 200

    def test_invitation_that_was_taken_up_is_gone(self, organisation: Organisation, anna: User):
        row = invited(anna)
        with build.as_owner():
            Invitation.objects.update(accepted_at=build.NOW)
        for name in ("accounts:invitation-withdraw", "accounts:invitation-resend"):
            assert visit(anna).post(at(name, row)).status_code == 404


class TestApproval:
    @pytest.fixture
    def ida(self, organisation: Organisation) -> User:
        """Has said yes and waits."""
        person = build.person("Ida", "Inviteret")
        build.member(organisation, person, Role.VIEWER, approved_at=None)
        return person

    def test_owner_lets_in(self, anna: User, ida: User):
        client, idas = visit(anna), visit(ida)
        assert leads_to(idas.get(at("home")), "accounts:organisations")
        assert "Ida Inviteret" in client.get(at("accounts:team")).text
        assert leads_to(client.post(at("accounts:member-approve", place(ida))), "accounts:team")
        assert "Ida Inviteret is in." in client.get(at("accounts:team")).text
        assert "Duehuset ApS" in idas.get(at("home")).text

    def test_owner_refuses(self, anna: User, ida: User):
        client, row = visit(anna), place(ida)
        refuse = at("accounts:member-refuse", row)
        assert "Refuse Ida Inviteret?" in client.get(refuse).text
        assert role(ida)
        assert leads_to(client.post(refuse), "accounts:team")
        assert role(ida) is None
        assert client.post(refuse).status_code == 404

    def test_member_who_is_in_cannot_be_refused(self, anna: User, bo: User):
        assert visit(anna).post(at("accounts:member-refuse", place(bo))).status_code == 404

    def test_administrator_sees_but_cannot_let_in(self, ada: User, ida: User):
        client = visit(ada)
        assert "waits for an owner" in client.get(at("accounts:team")).text
        assert client.post(at("accounts:member-approve", place(ida))).status_code == 403


class TestRoles:
    def test_change_signs_the_member_out(self, anna: User, bo: User):
        client, bos = visit(anna), visit(bo)
        change = at("accounts:member-role", place(bo))
        assert "Role of Bo Krog" in client.get(change).text
        assert leads_to(client.post(change, {"role": Role.VIEWER}), "accounts:team")
        assert role(bo) == Role.VIEWER
        assert leads_to(bos.get(at("accounts:team")), "accounts:sign-in")

    def test_last_owner_stays_owner(self, organisation: Organisation, anna: User):
        page = visit(anna).post(at("accounts:member-role", place(anna)), {"role": Role.ADMIN})
        assert (page.status_code, "needs an owner" in page.text) == (200, True)
        assert role(anna) == Role.OWNER

    @pytest.mark.parametrize("name", ["accounts:member-role", "accounts:member-remove"])
    def test_administrator_does_not_touch_an_owner(self, name: str, anna: User, ada: User):
        client = visit(ada)
        for method in (client.get, client.post):
            assert method(at(name, place(anna)), {"role": Role.VIEWER}).status_code == 403
        assert at(name, place(anna)) not in client.get(at("accounts:team")).text
        assert role(anna) == Role.OWNER


class TestRemoval:
    def test_ends_membership_and_sessions(self, anna: User, bo: User):
        client, bos = visit(anna), visit(bo)
        remove = at("accounts:member-remove", place(bo))
        assert "Remove Bo Krog?" in client.get(remove).text
        assert leads_to(client.post(remove), "accounts:team")
        assert role(bo) is None
        assert leads_to(bos.get(at("accounts:team")), "accounts:sign-in")

    def test_everybody_may_leave(self, organisation: Organisation, anna: User, bo: User):
        client = visit(bo)
        leave = at("accounts:member-remove", place(bo))
        assert "Leave Duehuset ApS?" in client.get(leave).text
        assert leads_to(client.post(leave), "accounts:organisations")
        assert role(bo) is None

    def test_last_owner_cannot_leave(self, organisation: Organisation, anna: User):
        client = visit(anna)
        assert leads_to(client.post(at("accounts:member-remove", place(anna))), "accounts:team")
        assert "needs an owner" in client.get(at("accounts:team")).text
        assert role(anna) == Role.OWNER

    def test_member_does_not_remove_another(self, anna: User, bo: User):
        client = visit(bo)
        for method in (client.get, client.post):
            assert method(at("accounts:member-remove", place(anna))).status_code == 403
        assert role(anna) == Role.OWNER


class TestAuditTrail:
    def test_says_who_did_what(self, organisation: Organisation, anna: User, bo: User):
        client = visit(anna)
        client.post(at("accounts:member-role", place(bo)), {"role": Role.VIEWER})
        page = client.get(at("accounts:audit-trail")).text
        assert "Anna Due" in page
        assert "Membership: role changed" in page
        assert "bo@krog.example" not in page

    def test_is_empty_at_first(self, organisation: Organisation, anna: User):
        assert "Nothing has happened yet" in visit(anna).get(at("accounts:audit-trail")).text

    def test_older_events_are_on_further_pages(self, organisation: Organisation, anna: User):
        client = visit(anna)
        for number in range(PAGE_LENGTH + 1):
            values = {"name": f"Hus {number}", "country": "DK", "queue_lifetime_hours": 24}
            client.post(at("accounts:organisation"), values)
        first = client.get(at("accounts:audit-trail"))
        assert first.text.count("Organisation: corrected") == PAGE_LENGTH
        second = client.get(at("accounts:audit-trail"), {"before": 2})
        assert second.text.count("Organisation: corrected") == 1
        assert "To the newest" in second.text

    @pytest.mark.parametrize("before", ["x", "-1", "1e9", "²", "9" * 40])
    def test_nonsense_shows_the_newest(self, before: str, organisation: Organisation, anna: User):
        assert visit(anna).get(at("accounts:audit-trail"), {"before": before}).status_code == 200
