# SPDX-License-Identifier: AGPL-3.0-or-later
"""The certificate of an erasure: what it says, by which seal, and who can fetch it how long."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.conf import settings
from redis import Redis

from accounts.models import Organisation, OutgoingMail, Role, User
from gdpr import seals
from gdpr.erasing import certificate, plan, run
from gdpr.models import Erasure
from tests import build, poppler
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.conftest import later
from tests.gdpr.erasing.reading import attached, sent

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def test_fault_on_the_way_is_not_on_the_certificate(asked: Erasure, gone: User) -> None:
    """And what it says of backups and mails is so at the end, not when the plan was made."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.set("stray", gone.email)
        assert not run.carry_out(asked.pk, later())
        redis.delete("stray")
    OutgoingMail.objects.all().delete()
    assert run.carry_out(asked.pk, later(days=9))
    asked.refresh_from_db()
    assert "stuck" not in asked.report
    told = asked.report["plan"]
    assert told["backups_until"] == str(later(days=9 + settings.BACKUP_DAYS).date())
    (mails,) = [line for line in told["kept"] if line[0] == "accounts.OutgoingMail"]
    assert mails[1] == len(sent()) == 1
    data = attached(bytes(asked.certificate or b""))
    assert set(data) >= {"plan", "scan", "steps"}
    assert "stuck" not in data
    assert data["plan"] == told


def test_link_ends_in_the_database_too(house: Organisation) -> None:
    person = build.person("Ida", "Alene")
    build.member(house, person, Role.VIEWER)
    with build.as_owner():
        asked = seeds.ask(person)
    assert run.carry_out(asked.pk, later())
    token, end = certificate.token_of(asked.pk), certificate.link_ends_at(later())
    with build.as_role("web"):
        assert certificate.found(token, end) is None
        assert certificate.found(token, end - timedelta(seconds=1)) is not None
    assert certificate.close_links(later(days=certificate.LINK_DAYS - 1)) == 0
    assert certificate.close_links(later(days=certificate.LINK_DAYS)) == 1
    asked.refresh_from_db()
    assert asked.token_hash is None
    assert asked.certificate is not None


class TestCertificate:
    @pytest.fixture
    def pdf(self, asked: Erasure) -> bytes:
        assert run.carry_out(asked.pk, later())
        asked.refresh_from_db()
        assert asked.certificate is not None
        return bytes(asked.certificate)

    def test_is_sealed_and_says_what_happened(self, pdf: bytes, asked: Erasure, gone: User) -> None:
        found = seals.verify(pdf, now=later())
        assert found.sound
        assert [signature.field for signature in found.signatures] == [certificate.FIELD]
        text = poppler.words(pdf)
        assert "Sletteattest" in text
        assert asked.reference in text
        assert "Intet var tilbage" in text
        for mark in (gone.email, gone.last_name, gone.phone, str(gone.pk)):
            assert mark not in text
        assert asked.certificate_digest == hashlib.sha256(pdf).hexdigest()

    def test_last_mail_says_itself_what_is_kept_and_why(self, pdf: bytes, asked: Erasure) -> None:
        asked.refresh_from_db()
        made = plan.Plan.from_json(asked.report["plan"])
        reasons = certificate.reasons(made, asked.language)
        assert made.is_partial
        assert reasons
        (last,) = [letter for letter in sent() if "/certificate/" in letter["text"]]
        assert reasons in last["text"]
        # The link ends; by its number staff find the certificate later.
        words = last["text"].replace(f"/certificate/{certificate.token_of(asked.pk)}/", "")
        assert asked.reference in words

    def test_is_reached_by_the_link_of_the_last_mail_alone(self, pdf: bytes, gone: User) -> None:
        (last,) = [letter for letter in sent() if "/certificate/" in letter["text"]]
        assert last["to"] == gone.email
        token = last["text"].partition("/certificate/")[2].split("/")[0]
        with build.as_role("web"):
            issued = certificate.found(token, later(days=1))
            assert issued is not None
            assert issued.pdf == pdf
            assert certificate.found(f"{token}x", later(days=1)) is None
            # Something is held: the link lasts until it is gone (test_holding.py).
            assert issued.ends_at is None
