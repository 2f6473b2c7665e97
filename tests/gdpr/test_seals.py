# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing, sealing, and what is found when a signed document is read again."""

from __future__ import annotations

from datetime import UTC, datetime

from gdpr import seals
from gdpr.documents import render

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_person_and_operator_sign_one_after_the_other(settings):
    settings.TEMPLATES[0]["DIRS"].append(settings.BASE_DIR / "tests" / "gdpr" / "templates")
    pdf = render(
        "agreement.html", {}, language="da", title="Aftale", identifier="A-1", issued_at=NOW
    )
    person = seals.Subject("Åse Ærø", "Duehuset ApS", "Direktør")
    once = seals.sign_as_person(
        pdf, field="controller", subject=person, reason="Indgår aftalen", language="da", now=NOW
    )
    twice = seals.seal(once, field="processor", reason="Segl", language="da", now=NOW)
    found = seals.verify(twice, now=NOW)
    assert found.sound
    assert [(s.field, s.signer, s.certifies) for s in found.signatures] == [
        ("controller", "Åse Ærø", True),
        ("processor", "Brevdue ApS segl", False),
    ]
    assert found.awaiting == ("Tidsstempel",)
