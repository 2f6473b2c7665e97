# SPDX-License-Identifier: AGPL-3.0-or-later
"""A letter says the same as text, as HTML and as PDF; what matters is sealed and kept."""

from __future__ import annotations

import base64
import json
import re
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from accounts import vault
from accounts.models import Alert, OutgoingMail, User
from gdpr import deciding, seals
from gdpr.documents import BoundedError
from gdpr.letters import drafts, gallery, posting, sealing, writing
from gdpr.letters.drafts import Draft
from gdpr.letters.wording import KINDS
from gdpr.letters.writing import Abuse, Proof
from gdpr.models import Letter, RequestedRight, Right
from tests import build, poppler
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, visit
from tests.gdpr.desk import at_the_desk, letters_leave
from tests.gdpr.pdf_conformance import faults

pytestmark = pytest.mark.django_db

State = RequestedRight.State
LANGUAGES = User.Language.values
WHY = "The data are needed for a claim.\nThey go when the case is decided."
HOSTILE = "<script>alert(1)</script>\r\nBcc: x {{ link }} %(link)s & Ærø"
SEALED = {
    "extended",
    "partly-done",
    "refused",
    "unfounded",
    "fee",
    "not-identifiable",
    "second-look-upheld",
    "second-look-changed",
}


class _Words(HTMLParser):
    """The words of a page's body without its foot, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.feed(html.partition("<body>")[2].partition("<hr>")[0])

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [dict(attrs)["href"] or ""] if tag == "a" else []


@pytest.fixture
def right(anna: User) -> RequestedRight:
    with build.as_owner():
        return build.request_of(anna, Right.OBJECTION).rights.get()


def fresh(right: RequestedRight) -> RequestedRight:
    with build.as_owner():
        return RequestedRight.objects.get(pk=right.pk)


def mailed() -> dict[str, Any]:
    with build.as_owner():
        row = OutgoingMail.objects.get()
    letter: dict[str, Any] = json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))
    return letter


def decided(right: RequestedRight, by: User) -> Letter:
    with build.as_owner():
        deciding.decide(right, State.REFUSED, by, build.NOW, reason=WHY)
    letters_leave()
    return kept()


def kept() -> Letter:
    with build.as_owner():
        return Letter.objects.get()


def alerts() -> list[tuple[str, str]]:
    with build.as_owner():
        return list(Alert.objects.filter(resolved_at=None).values_list("kind", "subject"))


def test_what_matters_is_sealed() -> None:
    assert {name for name, kind in KINDS.items() if kind.is_sealed} == SEALED


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", KINDS)
def test_text_and_html_say_the_same(name: str, language: str) -> None:
    draft = gallery.sample(name, language)
    posting.letter(draft.address, language, draft.filled)
    letter = mailed()
    html, text = _Words(letter["html"]), letter["text"].split()
    assert [word for word in text if word not in html.links] == html.words
    assert set(html.links) <= set(text)
    assert letter["to"] == "anna@due.example"
    assert f'<html lang="{language}">' in letter["html"]
    assert "%(" not in letter["text"] + letter["subject"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(SEALED))
def test_pdf_says_the_same(name: str, language: str) -> None:
    draft = gallery.sample(name, language)
    pdf = drafts.typeset(draft, build.NOW)
    words = "".join(poppler.text(pdf).split())
    for paragraph in draft.filled.paragraphs:
        assert "".join(paragraph.text.split()) in words
    assert "AnnaDue" in words


@pytest.mark.parametrize("language", LANGUAGES)
def test_sealed_letter_conforms(language: str) -> None:
    pdf = drafts.sealed(gallery.sample("refused", language), build.NOW, build.NOW)
    assert faults(pdf) == []


def test_kinds_differ_in_both_languages() -> None:
    texts = {gallery.sample(name, code).filled.text for name in KINDS for code in LANGUAGES}
    assert len(texts) == len(KINDS) * len(LANGUAGES)


def test_words_of_people_break_nothing(right: RequestedRight) -> None:
    assert right.request.person is not None
    right.request.person.first_name = HOSTILE
    draft = writing.question(right, HOSTILE, stands_still=True)
    drafts.send(draft)
    letter = mailed()
    assert "<script" not in letter["html"]
    assert "&lt;script" in letter["html"]
    assert "<script>" in letter["text"]
    assert "%(link)s" in letter["text"]
    assert not re.search(r"[\r\n]", letter["subject"])


def test_pdf_goes_with_the_mail_and_is_kept(right: RequestedRight, dorte: User) -> None:
    letter = decided(right, dorte)
    ((name, kind, content),) = mailed()["enclosures"]
    pdf = base64.b64decode(content)
    assert (name, kind) == (f"brevdue-{right.request.reference}-refused.pdf", "application/pdf")
    assert drafts.content(letter) == pdf
    assert letter.sha256 == sha256(pdf).hexdigest()
    assert WHY.encode() not in bytes(letter.sealed or b"")
    for words in ("Datatilsynet", "domstolene", "fornyet vurdering", WHY.split("\n")[0]):
        assert words in poppler.words(pdf)


def test_seal_is_the_operators(right: RequestedRight, dorte: User) -> None:
    found = seals.verify(drafts.content(decided(right, dorte)), now=build.NOW)
    assert found.sound
    assert [one.organisation for one in found.signatures] == ["Brevdue ApS"]


# Sealing takes seconds: a letter leaves after whoever decided has their page.


@pytest.fixture
def waiting(right: RequestedRight, dorte: User, clock: Clock) -> Letter:
    with at_the_desk(dorte):
        deciding.decide(right, State.REFUSED, dorte, clock.now, reason=WHY)
    return kept()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise BoundedError("time", spent=True)

    monkeypatch.setattr("gdpr.documents.render", fail)


@pytest.mark.usefixtures("broken")
def test_who_decides_does_not_wait_for_the_seal(waiting: Letter, right: RequestedRight) -> None:
    assert fresh(right).state == State.REFUSED
    assert not waiting.has_left
    for words in (WHY.encode(), b"anna@due.example", b"Anna"):
        assert words not in bytes(waiting.sealed_draft or b"")


def test_it_leaves_once_with_its_seal(waiting: Letter, clock: Clock) -> None:
    clock.forward(seconds=40)
    assert letters_leave() == 1
    assert letters_leave() == 0
    assert len(mailed()["enclosures"]) == 1
    row = kept()
    assert (row.has_left, row.sealed_draft, row.issued_at) == (True, None, waiting.issued_at)
    (signature,) = seals.verify(drafts.content(row), now=clock.now).signatures
    assert signature.signed_at == clock.now


def test_words_are_those_that_were_decided(waiting: Letter, anna: User, clock: Clock) -> None:
    with build.as_owner():
        draft = drafts.opened(Letter.objects.select_related("right").get(pk=waiting.pk))
        fresh_one = writing.refused(waiting.right, WHY)
    assert fresh_one is not None
    assert (draft.filled, draft.name, draft.address, draft.kind.name) == (
        fresh_one.filled,
        "Anna Due",
        anna.email,
        "refused",
    )


@pytest.mark.usefixtures("broken")
def test_nothing_leaves_unsealed_and_staff_are_told(waiting: Letter) -> None:
    assert letters_leave() == 0
    assert not kept().has_left
    assert alerts() == [(sealing.ALERT, str(waiting.pk))]
    with build.as_owner():
        assert not OutgoingMail.objects.filter(kind="gdpr/letter").exists()


def test_it_is_tried_again_and_the_alert_ends(
    waiting: Letter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(drafts, "sealed", lambda *_: 1 / 0)
        letters_leave()
    clock.forward(minutes=9)
    assert letters_leave() == 0
    clock.forward(minutes=1)
    assert letters_leave() == 1
    assert alerts() == []


def test_one_that_fails_keeps_no_other_waiting(
    waiting: Letter, anna: User, dorte: User, clock: Clock
) -> None:
    with build.as_owner():
        Letter.objects.update(sealed_draft=b"junk")
        other = build.request_of(anna, Right.RESTRICTION).rights.get()
    with at_the_desk(dorte):
        deciding.decide(other, State.REFUSED, dorte, clock.now, reason=WHY)
    assert letters_leave() == 1
    with build.as_owner():
        assert Letter.objects.get(right=other).has_left


def test_what_is_erased_meanwhile_is_not_sent(
    waiting: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sealed_late(*_: object) -> bytes:
        with build.as_owner():
            Letter.objects.all().delete()
        return b"%PDF-1.7"

    monkeypatch.setattr(drafts, "sealed", sealed_late)
    assert letters_leave() == 0
    with build.as_owner():
        assert not OutgoingMail.objects.filter(kind="gdpr/letter").exists()


def test_page_says_that_it_is_being_sealed(
    waiting: Letter, right: RequestedRight, anna: User
) -> None:
    here, path = visit(anna), at("gdpr:letter", right.request_id, waiting.pk)
    page = here.get(at("gdpr:request", right.request_id)).text
    assert "is being sealed" in page
    assert path not in page
    assert here.get(path).status_code == 404


class TestAbuse:
    PROOF = Proof(Abuse.EXCESSIVE, "Twelve letters in October.")

    def test_refusal_says_what_shows_it(self, right: RequestedRight, dorte: User) -> None:
        with build.as_owner():
            deciding.decide(right, deciding.ABUSE, dorte, build.NOW, reason=WHY, proof=self.PROOF)
        letters_leave()
        assert fresh(right).state == State.REFUSED
        for words in ("Overdreven", WHY, "Twelve letters"):
            assert words in str(fresh(right).resolution)
        for words in ("overdreven", "stk. 5, litra b", "Twelve letters", "Datatilsynet"):
            assert words in mailed()["text"]

    def test_fee_is_offered_and_the_clock_runs_on(self, right: RequestedRight, dorte: User) -> None:
        proof = Proof(Abuse.UNFOUNDED, "Twelve letters.", Decimal("1250.5"))
        with build.as_owner():
            deciding.decide(right, deciding.FEE, dorte, build.NOW, reason=WHY, proof=proof)
        letters_leave()
        assert fresh(right).state == State.ASSESS
        with build.as_owner():
            assert right.steps.latest("id").kind == "fee"
        text = mailed()["text"]
        for words in ("1.250,50 kroner", "åbenbart grundløs", "løber videre", "Twelve letters."):
            assert words in text


def test_letter_is_read_on_the_page_of_its_request(
    right: RequestedRight, dorte: User, anna: User, clock: Clock
) -> None:
    letter = decided(right, dorte)
    here = visit(anna)
    page = here.get(at("gdpr:request", right.request_id)).text
    path = at("gdpr:letter", right.request_id, letter.pk)
    assert path in page
    answer = here.get(path)
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content == drafts.content(letter)


def test_letter_is_its_persons_alone(right: RequestedRight, dorte: User, carl: User) -> None:
    path = at("gdpr:letter", right.request_id, decided(right, dorte).pk)
    assert visit(carl).get(path).status_code == 404
    assert Client().get(path).status_code == 302


def test_letter_of_another_request_is_not_found(
    right: RequestedRight, dorte: User, anna: User
) -> None:
    letter = decided(right, dorte)
    with build.as_owner():
        other = build.request_of(anna, Right.CONSENT)
    assert visit(anna).get(at("gdpr:letter", other.pk, letter.pk)).status_code == 404


def test_preview_is_what_leaves(right: RequestedRight, dorte: User) -> None:
    with build.as_owner():
        seen: Draft | None = deciding.letter(right, State.REFUSED, build.NOW, reason=WHY)
        deciding.decide(right, State.REFUSED, dorte, build.NOW, reason=WHY)
    letters_leave()
    assert seen is not None
    letter = mailed()
    assert (letter["subject"], letter["text"].strip()) == (seen.filled.subject, seen.filled.text)
