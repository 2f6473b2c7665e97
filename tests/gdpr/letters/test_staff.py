# SPDX-License-Identifier: AGPL-3.0-or-later
"""Staff read a letter before it leaves, those that left, and every kind with invented data."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from django.utils.translation import override

from accounts.keyfiles import VaultError
from accounts.models import AuditEvent, OutgoingMail, User
from gdpr.letters import drafts, gallery
from gdpr.letters.wording import KINDS
from gdpr.models import RequestedRight, Right
from tests import build, poppler
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified

pytestmark = pytest.mark.django_db

State = RequestedRight.State
WHY = "The data are needed for a claim that is before the court."


def address(page: str, *arguments: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_{page}", args=arguments)


@pytest.fixture
def staff(clock: Clock, dorte: User) -> Client:
    return verified(dorte)


@pytest.fixture
def right(anna: User) -> RequestedRight:
    with build.as_owner():
        return build.request_of(anna, Right.OBJECTION).rights.get()


def look(staff: Client, right: RequestedRight, how: str, **said: str) -> Any:
    data = {"what": State.REFUSED, "look": how} | said
    return staff.post(address("requestedright_decide", right.id), data)


def is_untouched(right: RequestedRight) -> bool:
    with build.as_owner():
        state = RequestedRight.objects.get(pk=right.pk).state
        return state == State.ASSESS and not OutgoingMail.objects.exists()


def test_words_are_read_before_anything_leaves(staff: Client, right: RequestedRight) -> None:
    text = look(staff, right, "words", reason=WHY).text
    for words in (WHY, "Kære Anna Due", "Datatilsynet", "domstolene"):
        assert words in text
    assert is_untouched(right)


def test_pdf_is_read_before_anything_leaves(staff: Client, right: RequestedRight) -> None:
    answer = look(staff, right, "pdf", reason=WHY)
    assert answer["Content-Type"] == "application/pdf"
    assert WHY in poppler.words(answer.content)
    assert is_untouched(right)


def test_look_at_an_incomplete_letter_says_what_is_missing(
    staff: Client, right: RequestedRight
) -> None:
    assert "What is missing: the reasons." in look(staff, right, "words").text
    assert "What is missing: the reasons." in look(staff, right, "pdf").text
    assert is_untouched(right)


def test_look_where_nothing_is_sent_says_so(staff: Client, anna: User) -> None:
    with build.as_owner():
        right = build.request_of(anna, Right.OBJECTION).rights.get()
    assert "Nothing is sent" in look(staff, right, "words", what=State.ACT).text
    assert "Nothing is sent" in look(staff, right, "pdf", what=State.ACT).text
    assert is_untouched(right)


def test_sealed_letter_is_read_and_the_look_recorded(staff: Client, right: RequestedRight) -> None:
    kept = build.letter_of(right, b"%PDF-1.7 words")
    assert right.request.reference in staff.get(address("letter_changelist")).text
    assert address("letter_document", kept.pk) in staff.get(address("letter_change", kept.pk)).text
    assert staff.get(address("letter_document", kept.pk)).content == b"%PDF-1.7 words"
    with build.as_owner():
        event = AuditEvent.objects.get(action="letter.viewed")
    assert event.target_id == str(kept.pk)


def test_gallery_has_every_letter_in_both_languages(staff: Client) -> None:
    text = staff.get(address("letter_gallery")).text
    for name in KINDS:
        for language in User.Language.values:
            assert escape(gallery.sample(name, language).filled.subject) in text
            assert address("letter_sample", name, language) in text
    with build.as_owner():
        assert not OutgoingMail.objects.exists()


def test_sample_is_a_pdf(staff: Client) -> None:
    answer = staff.get(address("letter_sample", "refused", "da"))
    assert "Anna Due" in poppler.words(answer.content)
    for path in (("no-such", "da"), ("refused", "de")):
        assert staff.get(address("letter_sample", *path)).status_code == 404


def test_helper_without_the_right_sees_no_letter(clock: Clock, right: RequestedRight) -> None:
    kept = build.letter_of(right)
    helper = verified(build.person("Hans", "Hjælp", is_staff=True))
    for page in (
        address("letter_gallery"),
        address("letter_sample", "refused", "da"),
        address("letter_document", kept.pk),
    ):
        assert helper.get(page).status_code == 403


def test_kept_letter_opens_for_its_own_number_alone(right: RequestedRight) -> None:
    one, other = build.letter_of(right, b"one"), build.letter_of(right, b"other")
    other.sealed = one.sealed
    assert drafts.content(one) == b"one"
    with pytest.raises(VaultError):
        drafts.content(other)
