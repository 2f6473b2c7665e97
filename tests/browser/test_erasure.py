# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of an erasure in a browser, from the outlook to the certificate."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis

from accounts.models import Organisation, User
from gdpr.erasing import certificate, run
from gdpr.rights import erasure
from tests import build
from tests.browser.window import SCREENSHOTS, Look, Window
from tests.gdpr.erasing import seeds

LOOKS = [Look("da", "desktop", "light"), Look("en", "phone", "dark")]


@pytest.fixture
def gone(organisation: Organisation) -> User:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
    return seeds.somebody("Gerda", "Gået", organisation)


def _carry_out(erasure_id: UUID, now: datetime) -> bool:
    """In a thread of its own, as sealing wants a loop and this one's is the browser's."""
    try:
        return run.carry_out(erasure_id, now)
    finally:
        connection.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_erasure(
    window: Window, gone: User, organisation: Organisation, look: Look, settings, tmp_path: Path
) -> None:
    gone.language = look.language
    with build.as_owner():
        gone.save()
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures")
    window.sign_in(gone, organisation)
    window.open("/privacy/erasure/")
    window.check("erasure-outlook")
    now = timezone.now()
    with build.as_owner():
        made = erasure.ask(gone, now, session_key=None)
    window.sign_in(gone, organisation)
    window.open("/privacy/erasure/")
    window.check("erasure-counting")
    with build.as_role("duty"):
        assert run.draw_up_plans(now) == 1
    window.open("/privacy/erasure/")
    window.check("erasure-waiting")
    with ThreadPoolExecutor(1) as worker:
        assert worker.submit(_carry_out, made.pk, now + erasure.COOL_DOWN).result()
    with build.as_owner():
        made.refresh_from_db()
    assert made.certificate is not None
    (SCREENSHOTS / f"certificate-{look.language}.pdf").write_bytes(bytes(made.certificate))
    window.open(f"/privacy/certificate/{certificate.token_of(made.pk)}/")
    window.check("certificate")
    assert made.ended_at is not None
    assert made.ended_at > datetime.now(UTC)
