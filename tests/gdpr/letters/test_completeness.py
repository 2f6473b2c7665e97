# SPDX-License-Identifier: AGPL-3.0-or-later
"""No letter leaves without what the law wants in it: each part is taken away once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import OutgoingMail, User
from gdpr import deciding, requests
from gdpr.letters import drafts, gallery, writing
from gdpr.letters.checks import check_letters
from gdpr.letters.filling import Incomplete, fill
from gdpr.letters.kinds import FACTS_OF, Block, Kind, Part
from gdpr.letters.wording import KINDS
from gdpr.letters.writing import Abuse, Proof
from gdpr.models import Letter, RequestedRight, Right
from tests import build

pytestmark = pytest.mark.django_db

State = RequestedRight.State
LANGUAGES = User.Language.values
WHY = "The data are needed for a claim that is before the court."
# Which setting each fact of the installation comes from.
SETTINGS = {
    "operator": "OPERATOR_NAME",
    "operator_address": "OPERATOR_ADDRESS",
    "operator_postcode": "OPERATOR_POSTCODE",
    "operator_city": "OPERATOR_CITY",
    "company_number": "OPERATOR_COMPANY_NUMBER",
    "contact": "PRIVACY_CONTACT",
    "privacy_email": "PRIVACY_EMAIL",
    "authority": "AUTHORITY_NAME",
    "authority_address": "AUTHORITY_ADDRESS",
    "authority_site": "AUTHORITY_URL",
}
# What the law demands, kind by kind, written down apart from the letters themselves.
EXPLAINED = {Part.REASONS, Part.AUTHORITY, Part.COURT, Part.SECOND_LOOK}
DEMANDED: dict[str, set[Part]] = {
    "received": {Part.DAY},
    "question": {Part.QUESTION, Part.AUTHORITY, Part.COURT},
    "reminder": {Part.QUESTION, Part.DAY, Part.AUTHORITY, Part.COURT},
    "extended": {Part.REASONS, Part.DAY, Part.AUTHORITY, Part.COURT},
    "package-ready": {Part.DAY, Part.AUTHORITY, Part.COURT, Part.SECOND_LOOK},
    "done": {Part.AUTHORITY, Part.COURT, Part.SECOND_LOOK},
    "partly-done": EXPLAINED,
    "refused": EXPLAINED,
    "unfounded": EXPLAINED | {Part.GROUND, Part.EVIDENCE},
    "fee": EXPLAINED | {Part.GROUND, Part.EVIDENCE, Part.FEE},
    "not-identifiable": EXPLAINED,
    "withdrawn": {Part.AUTHORITY, Part.COURT},
    "second-look-asked": {Part.FIRST_ANSWER, Part.DAY, Part.AUTHORITY, Part.COURT},
    "second-look-upheld": {Part.FIRST_ANSWER, Part.REASONS, Part.AUTHORITY, Part.COURT},
    "second-look-changed": {Part.FIRST_ANSWER, Part.REASONS, Part.AUTHORITY, Part.COURT},
    "lifting": {Part.GROUND, Part.DAY, Part.AUTHORITY, Part.COURT},
    "erased": {Part.DAY, Part.AUTHORITY, Part.COURT, Part.SECOND_LOOK},
    "erased-in-part": EXPLAINED,
}
NEEDED = [(name, part) for name, parts in DEMANDED.items() for part in sorted(parts, key=str)]


def facts(kind: Kind) -> dict[str, str]:
    """Something for every fact that the kind names."""
    conditions = {block.only_with for block in kind.blocks if block.only_with}
    return dict.fromkeys(kind.facts | conditions, "words")


def without(kind: Kind, part: Part) -> Kind:
    return replace(kind, blocks=tuple(one for one in kind.blocks if one.part is not part))


@pytest.fixture
def right(anna: User) -> RequestedRight:
    with build.as_owner():
        return build.request_of(anna, Right.OBJECTION).rights.get()


def test_every_kind_is_judged_and_has_a_sample() -> None:
    assert KINDS.keys() == DEMANDED.keys() == gallery.SAMPLES.keys()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "part"), NEEDED)
def test_letter_without_a_part_is_refused(name: str, part: Part, language: str) -> None:
    kind = KINDS[name]
    assert fill(kind, facts(kind), language)
    with pytest.raises(Incomplete) as refused:
        fill(without(kind, part), facts(kind), language)
    assert refused.value.missing & (FACTS_OF[part] | {part.value})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "part"), NEEDED)
def test_part_that_lost_its_words_is_refused(name: str, part: Part, language: str) -> None:
    kind = KINDS[name]
    blocks = tuple(Block(" ", part) if one.part is part else one for one in kind.blocks)
    with pytest.raises(Incomplete):
        fill(replace(kind, blocks=blocks), facts(kind), language)


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, part in NEEDED if FACTS_OF[part]]
)
def test_words_that_name_nobody_are_refused(name: str, part: Part) -> None:
    """As by a translation that says to complain, and not to whom."""
    kind = KINDS[name]
    blocks = tuple(Block("words", part) if one.part is part else one for one in kind.blocks)
    with pytest.raises(Incomplete) as refused:
        fill(replace(kind, blocks=blocks), facts(kind), "en")
    assert refused.value.missing == FACTS_OF[part]


@pytest.mark.parametrize("empty", ["", " \n"])
@pytest.mark.parametrize("name", DEMANDED)
def test_empty_fact_is_refused(name: str, empty: str) -> None:
    kind = KINDS[name]
    conditions = {block.only_with for block in kind.blocks}
    for fact in facts(kind).keys() - conditions:
        with pytest.raises(Incomplete) as refused:
            fill(kind, facts(kind) | {fact: empty}, "en")
        assert refused.value.missing == {fact}


@pytest.mark.parametrize("fact", SETTINGS)
@pytest.mark.parametrize("name", sorted(DEMANDED))
def test_letter_without_a_setting_is_refused(name: str, fact: str, settings: Settings) -> None:
    assert gallery.sample(name, "da")
    setattr(settings, SETTINGS[fact], "")
    needed = {one for part in KINDS[name].demands for one in FACTS_OF[part]}
    if fact not in needed:
        assert gallery.sample(name, "da")
        return
    with pytest.raises(Incomplete) as refused:
        gallery.sample(name, "da")
    assert fact in refused.value.missing
    assert SETTINGS[fact] in str(refused.value)


def test_installation_without_an_authority_is_told_at_its_start(settings: Settings) -> None:
    assert check_letters() == []
    settings.AUTHORITY_URL = ""
    faults = check_letters()
    assert {fault.id for fault in faults} == {"gdpr.E102"}
    named = "The letter refused could not leave in da: authority_site is missing."
    assert named in {fault.msg for fault in faults}


DECISIONS: list[tuple[str, dict[str, Any], str]] = [
    (deciding.EXTEND, {}, "the reasons"),
    (State.REFUSED, {"reason": "  "}, "the reasons"),
    (State.PAUSED, {}, "the question"),
    (deciding.ABUSE, {"reason": WHY}, "what shows it"),
    (
        deciding.ABUSE,
        {"reason": WHY, "proof": Proof(evidence="12 letters")},
        "the ground",
    ),
    (deciding.ABUSE, {"proof": Proof(Abuse.EXCESSIVE, "12 letters")}, "the reasons"),
    (
        deciding.FEE,
        {"reason": WHY, "proof": Proof(Abuse.EXCESSIVE, "12 letters")},
        "the fee",
    ),
]


@pytest.mark.as_role("staff")
@pytest.mark.parametrize(("what", "said", "missing"), DECISIONS)
def test_incomplete_decision_moves_and_sends_nothing(
    right: RequestedRight, dorte: User, what: str, said: dict[str, Any], missing: str
) -> None:
    before = right.steps.count()
    with pytest.raises(Incomplete, match=f"missing: .*{missing}"):
        deciding.decide(right, what, dorte, build.NOW, **said)
    right.refresh_from_db()
    assert (right.state, right.extended_at) == (State.ASSESS, None)
    assert right.steps.count() == before
    assert not Letter.objects.exists()
    with build.as_owner():
        assert not OutgoingMail.objects.exists()


@pytest.mark.as_role("staff")
def test_decision_without_the_authority_moves_and_sends_nothing(
    right: RequestedRight, dorte: User, settings: Settings
) -> None:
    settings.AUTHORITY_ADDRESS = ""
    with pytest.raises(Incomplete, match="AUTHORITY_ADDRESS"):
        deciding.decide(right, State.REFUSED, dorte, build.NOW, reason=WHY)
    right.refresh_from_db()
    assert right.state == State.ASSESS


def test_extension_leaves_until_the_limit_and_not_after_it(right: RequestedRight) -> None:
    within = build.NOW + timedelta(days=30)
    assert writing.extended(right, WHY, within) is not None
    with pytest.raises(requests.TooLate):
        writing.extended(right, WHY, within + timedelta(days=5))


def test_nobody_is_written_to_when_the_account_is_gone(right: RequestedRight) -> None:
    right.request.person = None
    assert writing.refused(right, WHY) is None
    drafts.send(None)
    with build.as_owner():
        assert not OutgoingMail.objects.exists()
