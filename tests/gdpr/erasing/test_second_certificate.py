# SPDX-License-Identifier: AGPL-3.0-or-later
"""What had to be kept is gone: the second certificate, and who is told where it will be."""

from __future__ import annotations

import hashlib

import pytest
from django.test import Client
from django.utils import translation
from django.utils.formats import date_format

from accounts.models import Organisation, User
from gdpr import ledger, seals
from gdpr.erasing import certificate, run
from gdpr.models import Erasure, LedgerEntry
from tests import build, poppler
from tests.accounts.visiting import at
from tests.gdpr.erasing.conftest import later
from tests.gdpr.erasing.held import DAY, LAST_DAY, OVER, complete
from tests.gdpr.erasing.reading import sent

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


@pytest.fixture
def pdf(done: Erasure) -> bytes:
    return bytes(complete(done).completion or b"")


def test_second_certificate_is_sealed_and_says_what_was_kept(
    pdf: bytes, done: Erasure, gone: User
) -> None:
    assert seals.verify(pdf, now=OVER).sound
    text = poppler.words(pdf)
    assert "Anden sletteattest" in text
    assert done.reference in text
    assert done.certificate_digest in text.replace(" ", "")
    assert "7 slettede rækker" in text
    for mark in (gone.email, gone.last_name, gone.phone, str(gone.pk)):
        assert mark not in text


def test_completion_stands_in_the_ledger_and_the_journal(pdf: bytes, done: Erasure) -> None:
    key = ledger.completion_of(done.pk)
    entry = LedgerEntry.objects.get(pk=key)
    assert (bytes(entry.person_digest), entry.entered_at) == (b"", OVER)
    assert ledger.journal(OVER.date())[key].is_of_nobody


def test_second_certificate_is_known_to_be_on_file(pdf: bytes, done: Erasure) -> None:
    assert done.completion_digest == hashlib.sha256(pdf).hexdigest()
    for file in (pdf, bytes(done.certificate or b"")):
        assert certificate.is_on_file(hashlib.sha256(file).digest())


def test_second_certificate_is_reached_by_the_link_of_the_first(
    done: Erasure, client: Client
) -> None:
    page = at("gdpr:certificate", certificate.token_of(done.pk))
    second = at("gdpr:completion-pdf", certificate.token_of(done.pk))
    with build.as_role("web"):
        assert "keep this link" in client.get(page).text
        assert client.get(second).status_code == 404
    complete(done)
    with build.as_role("web"):
        issued = certificate.found(certificate.token_of(done.pk), OVER)
        assert issued is not None
        assert issued.completion == bytes(done.completion or b"")


def test_link_lasts_until_some_time_after_it(done: Erasure) -> None:
    token, end = certificate.token_of(done.pk), certificate.link_ends_at(OVER)
    assert certificate.close_links(LAST_DAY) == 0
    with build.as_role("web"):
        assert certificate.found(token, LAST_DAY) is not None
    complete(done)
    with build.as_role("web"):
        assert certificate.found(token, end - DAY) is not None
        assert certificate.found(token, end) is None
    assert certificate.close_links(end - DAY) == 0
    assert certificate.close_links(end) == 1


@pytest.mark.parametrize("language", ["da", "en"])
def test_last_mail_says_when_and_where_the_second_one_is(asked: Erasure, language: str) -> None:
    """Nobody can be written to when it is there."""
    Erasure.objects.filter(pk=asked.pk).update(language=language)
    with build.as_owner():
        Organisation.objects.filter(name="Gået Handel").delete()
    assert run.carry_out(asked.pk, later())
    (last,) = [letter for letter in sent() if "/certificate/" in letter["text"]]
    with translation.override(language):
        assert date_format(LAST_DAY, "DATE_FORMAT") in last["text"]
    assert {"da": "gem denne mail", "en": "keep this mail"}[language] in last["text"]
    assert f" {certificate.LINK_DAYS} d" in last["text"]


def test_last_mail_says_that_a_time_has_not_begun(carried_out: Erasure) -> None:
    """The firm of the account closes, and has not closed."""
    (last,) = [letter for letter in sent() if "/certificate/" in letter["text"]]
    assert "er tiden endnu ikke begyndt" in last["text"]
