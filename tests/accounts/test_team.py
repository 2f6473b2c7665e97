# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from accounts import audit, limits, links, signin, signup, team
from accounts.models import (
    AuditEvent,
    Invitation,
    Membership,
    Organisation,
    Role,
    Session,
    User,
)
from accounts.refusals import NotAllowed
from accounts.tenancy import organisation_context, person_context
from tests import build
from tests.accounts.conftest import Browser, Clock
from tests.accounts.test_signup import letters, token_in

pytestmark = pytest.mark.django_db

PERSON = signup.Person(first_name="Ida", last_name="Inviteret")


def _membership(user: User) -> Membership:
    with person_context(user.id):
        return Membership.objects.select_related("organisation").get(user=user)


@pytest.fixture
def owner(anna: User, organisation: Organisation) -> Membership:
    return _membership(anna)


@pytest.fixture
def developer(bo: User) -> Membership:
    return _membership(bo)


@pytest.fixture
def _inside(organisation: Organisation, anna: User, bo: User) -> Iterator[None]:
    """The context in which a page of the organisation runs."""
    with organisation_context(organisation.id, person_id=anna.id):
        yield


def _invite(owner: Membership, email: str = "ida@ny.example", role: Role = Role.VIEWER) -> str:
    with organisation_context(owner.organisation_id, person_id=owner.user_id):
        team.invite(email, role, by=owner)
    return token_in(letters()[-1])


def _actions() -> list[str]:
    with build.as_owner():
        events = AuditEvent.objects.exclude(organisation=None).order_by("sequence")
        return list(events.values_list("action", flat=True))


class TestInvitation:
    def test_is_mailed_and_kept_as_a_hash(self, owner: Membership, clock: Clock) -> None:
        token = _invite(owner, " Ida@NY.example")
        assert letters()[0]["to"] == "ida@ny.example"
        with build.as_owner():
            row = Invitation.objects.get()
        assert token.encode() not in bytes(row.token_hash)
        assert len(token) * 6 >= 128
        found = team.find_invitation(token)
        assert (found.email, found.organisation_name, found.known) == (
            "ida@ny.example",
            "Duehuset ApS",
            False,
        )

    def test_expires_after_seven_days(self, owner: Membership, clock: Clock) -> None:
        token = _invite(owner)
        clock.forward(days=7, seconds=-1)
        team.find_invitation(token)
        clock.forward(seconds=1)
        with pytest.raises(links.LinkExpired):
            team.find_invitation(token)
        with pytest.raises(links.LinkExpired):
            team.accept_new(token, PERSON)

    def test_newer_one_replaces_the_older(self, owner: Membership) -> None:
        older, newer = _invite(owner), _invite(owner)
        with pytest.raises(links.LinkInvalid):
            team.find_invitation(older)
        assert team.find_invitation(newer)

    def test_unknown_token_is_invalid(self, owner: Membership) -> None:
        with pytest.raises(links.LinkInvalid):
            team.find_invitation("x" * 27)

    def test_withdrawn_one_is_dead(self, owner: Membership, _inside: None) -> None:  # noqa: PT019
        token = _invite(owner)
        team.withdraw(Invitation.objects.get(), by=owner)
        with pytest.raises(links.LinkInvalid):
            team.find_invitation(token)

    @pytest.mark.usefixtures("_inside")
    def test_member_is_not_invited_again(self, owner: Membership) -> None:
        with pytest.raises(team.AlreadyMember):
            team.invite("bo@krog.example", Role.VIEWER, by=owner)

    @pytest.mark.usefixtures("_inside")
    def test_number_is_limited(self, owner: Membership, clock: Clock) -> None:
        for number in range(20):
            team.invite(f"n{number}@ny.example", Role.VIEWER, by=owner)
        with pytest.raises(limits.TooMany):
            team.invite("n@ny.example", Role.VIEWER, by=owner)


class TestTakingUp:
    def test_new_person_waits_for_an_owner(self, owner: Membership, clock: Clock) -> None:
        token = _invite(owner, role=Role.DEVELOPER)
        done = team.accept_new(token, PERSON)
        user = signin.authenticate("ida@ny.example", done.code, address="192.0.2.7")
        membership = _membership(user)
        assert (membership.role, membership.approved_at) == (Role.DEVELOPER, None)
        assert user.must_change_password
        waiting = letters()[-1]
        assert (waiting["kind"], waiting["to"]) == ("membership_waiting", "anna@due.example")
        assert "Ida Inviteret" in waiting["text"]
        assert _actions() == ["invitation.sent", "membership.requested"]
        with pytest.raises(links.LinkInvalid):
            team.accept_new(token, PERSON)

    def test_known_person_takes_it_up_signed_in(self, owner: Membership, carl: User) -> None:
        token = _invite(owner, carl.email)
        assert team.find_invitation(token).known
        with pytest.raises(signup.AlreadyConfirmed):
            team.accept_new(token, PERSON)
        membership = team.accept(token, carl)
        assert (membership.organisation_id, membership.approved_at) == (
            owner.organisation_id,
            None,
        )

    def test_only_the_invited_person_may(self, owner: Membership, carl: User) -> None:
        token = _invite(owner)
        with pytest.raises(team.WrongPerson):
            team.accept(token, carl)
        assert team.find_invitation(token)

    def test_member_cannot_join_twice(self, owner: Membership, carl: User) -> None:
        token = _invite(owner, carl.email)
        with build.as_owner():
            Membership.objects.create(
                organisation_id=owner.organisation_id,
                user=carl,
                role=Role.VIEWER,
                created_at=build.NOW,
            )
        with pytest.raises(team.AlreadyMember):
            team.accept(token, carl)


@pytest.mark.usefixtures("_inside")
class TestMembers:
    @pytest.fixture
    def waiting(self, owner: Membership) -> Membership:
        """Ida has taken up an invitation."""
        done = team.accept_new(_invite(owner), PERSON)
        return Membership.objects.get(user_id=done.user_id)

    def test_owner_lets_in(self, owner: Membership, waiting: Membership, clock: Clock) -> None:
        team.approve(waiting, by=owner)
        waiting.refresh_from_db()
        assert (waiting.approved_at, waiting.approved_by_id) == (build.NOW, owner.user_id)
        assert letters()[-1]["to"] == "ida@ny.example"
        with pytest.raises(NotAllowed):
            team.refuse(waiting, by=owner)

    def test_second_click_lets_nobody_in_again(
        self, owner: Membership, waiting: Membership
    ) -> None:
        seen_before = Membership.objects.get(pk=waiting.pk)
        team.approve(waiting, by=owner)
        letters_sent, events = len(letters()), AuditEvent.objects.count()
        team.approve(seen_before, by=owner)
        assert (len(letters()), AuditEvent.objects.count()) == (letters_sent, events)

    def test_owner_refuses(self, owner: Membership, waiting: Membership) -> None:
        team.refuse(waiting, by=owner)
        assert not Membership.objects.filter(user_id=waiting.user_id).exists()
        assert "membership_refused" in [letter["kind"] for letter in letters()]
        assert _actions()[-1] == "membership.refused"

    def test_role_change_ends_sessions_and_invitations(
        self, owner: Membership, developer: Membership, browser: Browser
    ) -> None:
        team.change_role(developer, Role.ADMIN, by=owner)
        developer.refresh_from_db()
        token = _invite(developer)
        request = browser()
        signin.sign_in(request, developer.user)
        request.session.save()
        team.change_role(developer, Role.VIEWER, by=owner)
        assert not Session.objects.exists()
        with pytest.raises(links.LinkInvalid):
            team.find_invitation(token)

    def test_removed_person_is_out_at_once(
        self, owner: Membership, developer: Membership, browser: Browser
    ) -> None:
        request = browser()
        signin.sign_in(request, developer.user)
        request.session.save()
        email = developer.user.email
        team.remove(developer, by=owner)
        assert not Session.objects.exists()
        assert not Membership.objects.filter(role=Role.DEVELOPER).exists()
        assert (letters()[-1]["kind"], letters()[-1]["to"]) == ("membership_ended", email)
        assert _actions()[-1] == "membership.ended"
        with build.as_owner():
            assert audit.verify() == []

    def test_everybody_may_leave_but_the_last_owner(
        self, owner: Membership, developer: Membership
    ) -> None:
        with pytest.raises(team.LastOwner):
            team.remove(owner, by=owner)
        with pytest.raises(team.LastOwner):
            team.change_role(owner, Role.ADMIN, by=owner)
        team.change_role(developer, Role.OWNER, by=owner)
        team.remove(owner, by=owner)
        assert Membership.objects.get().user_id == developer.user_id

    def test_waiting_owner_is_no_owner_yet(self, owner: Membership, bo: User) -> None:
        with build.as_owner():
            Membership.objects.filter(user=bo).update(role=Role.OWNER, approved_at=None)
        with pytest.raises(team.LastOwner):
            team.remove(owner, by=owner)


Act = Callable[[Membership, Membership], object]
MANAGE: dict[str, Act] = {
    "invite": lambda by, of: team.invite("ida@ny.example", Role.VIEWER, by=by),
    "role": lambda by, of: team.change_role(of, Role.VIEWER, by=by),
    "remove": lambda by, of: team.remove(of, by=by),
}
OWN: dict[str, Act] = {
    "approve": lambda by, of: team.approve(of, by=by),
    "refuse": lambda by, of: team.refuse(of, by=by),
    "invite owner": lambda by, of: team.invite("ida@ny.example", Role.OWNER, by=by),
    "make owner": lambda by, of: team.change_role(of, Role.OWNER, by=by),
}


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("act", [*MANAGE, *OWN])
def test_roles_decide(
    organisation: Organisation, bo: User, developer: Membership, role: str, act: str
) -> None:
    allowed = {Role.OWNER} | ({Role.ADMIN} if act in MANAGE else set())
    actor = build.person("Per", "Prøve")
    build.member(organisation, actor, Role(role))
    if act == "refuse":
        with build.as_owner():
            Membership.objects.filter(pk=developer.pk).update(approved_at=None)
        developer.refresh_from_db()
    by = Membership.objects.get(user=actor)
    do = (MANAGE | OWN)[act]
    if role in allowed:
        do(by, developer)
    else:
        with pytest.raises(NotAllowed):
            do(by, developer)


@pytest.mark.usefixtures("_inside")
def test_administrator_cannot_touch_owners(
    organisation: Organisation, owner: Membership, bo: User
) -> None:
    with build.as_owner():
        Membership.objects.filter(user=bo).update(role=Role.ADMIN)
    admin = Membership.objects.get(user=bo)
    for act in (MANAGE["role"], MANAGE["remove"]):
        with pytest.raises(NotAllowed):
            act(admin, owner)


@pytest.mark.usefixtures("_inside")
def test_administrator_cannot_void_the_invitation_of_an_owner(owner: Membership, bo: User) -> None:
    token = _invite(owner, role=Role.OWNER)
    with build.as_owner():
        Membership.objects.filter(user=bo).update(role=Role.ADMIN)
    with pytest.raises(NotAllowed):
        team.invite("ida@ny.example", Role.VIEWER, by=Membership.objects.get(user=bo))
    assert team.find_invitation(token).role == str(Role.OWNER.label)


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize("act", ["role", "remove", "approve", "refuse", "make owner"])
def test_what_was_read_before_a_demotion_decides_nothing(
    owner: Membership, developer: Membership, act: str
) -> None:
    stale = Membership.objects.get(pk=owner.pk)
    with build.as_owner():
        Membership.objects.filter(pk=developer.pk).update(role=Role.OWNER)
        Membership.objects.filter(pk=owner.pk).update(role=Role.VIEWER)
    with pytest.raises(NotAllowed):
        (MANAGE | OWN)[act](stale, developer)


def test_members_of_other_organisations_are_out_of_reach(owner: Membership, carl: User) -> None:
    other = _membership(carl)
    for act in (MANAGE["role"], MANAGE["remove"], OWN["approve"]):
        with pytest.raises(NotAllowed):
            act(owner, other)
