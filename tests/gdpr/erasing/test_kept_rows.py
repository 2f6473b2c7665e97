# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows that an erasure keeps excuse what is in them, and nothing beside them."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.db import connection
from redis import Redis

from accounts.models import User
from dpa.models import Agreement
from gdpr.erasing import run
from gdpr.models import Erasure
from tests import build, poppler
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.conftest import later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

OTHERS_ROWS = {
    "dpa_agreement.signatory_title": "UPDATE dpa_agreement SET signatory_title = %s WHERE id = %s",
    "dpa_agreementevent.evidence": (
        "UPDATE dpa_agreementevent SET evidence = ARRAY[%s] WHERE agreement_id = %s"
    ),
}


@pytest.mark.parametrize("place", OTHERS_ROWS)
def test_kept_rows_do_not_hide_a_leftover_in_other_rows_of_their_table(
    asked: Erasure, gone: User, place: str
) -> None:
    own = Agreement.objects.filter(signatory=gone).exclude(in_force_at=None).get()
    other = seeds.somebody("Anna", "Anden", build.organisation("Andre ApS"))
    others = Agreement.objects.filter(signatory=other).exclude(in_force_at=None).get()

    def write(text: str, agreement: Agreement) -> None:
        with build.as_owner(), connection.cursor() as cursor:
            cursor.execute(OTHERS_ROWS[place], [text, agreement.pk])

    write(gone.email, others)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.fault, asked.report["stuck"]) == (Erasure.Fault.LEFTOVER, place)
    write("", others)
    write(gone.email, own)
    assert run.carry_out(asked.pk, later(hours=1))
    asked.refresh_from_db()
    assert [place, "address", 1, 1] in asked.report["scan"]["findings"]
    assert str(own.pk) not in json.dumps(asked.report)


def test_certificate_counts_a_name_in_other_rows_than_those_that_are_kept(
    asked: Erasure, gone: User
) -> None:
    other = seeds.somebody("Anna", "Anden", build.organisation("Andre ApS"))
    with build.as_owner():
        Agreement.objects.filter(signatory=other).update(signatory_title=gone.get_full_name())
        namesakes = Agreement.objects.filter(signatory=other).count()
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    kept = {"dpa_agreement.signatory_name": 1}
    assert kept.items() <= {row[0]: row[3] for row in asked.report["scan"]["findings"]}.items()
    said = f"står i {namesakes} andre rækker"
    assert said in poppler.words(bytes(asked.certificate or b""))


def test_row_is_counted_once_wherever_name_and_number_stand_in_it(
    asked: Erasure, gone: User
) -> None:
    other = seeds.somebody("Anna", "Anden", build.organisation("Andre ApS"))
    (own, *_), (others, *_) = (
        Agreement.objects.filter(signatory=person).exclude(in_force_at=None)
        for person in (gone, other)
    )
    words = f"{gone.get_full_name()} {gone.phone}"
    with build.as_owner():
        for row in (own, others):
            Agreement.objects.filter(pk=row.pk).update(signatory_title=words, facts={"x": words})
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.hset("stray", words, gone.phone)
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    made = asked.report["scan"]
    assert made["mentions"] == {"rows": 1, "keys": 1, "files": 0}
    for place in ("dpa_agreement.signatory_title", "dpa_agreement.facts"):
        for kind in ("name", "phone"):
            assert [place, kind, 2, 1] in made["findings"]
    text = poppler.words(bytes(asked.certificate or b""))
    assert "står i 1 anden række" in text
    assert "alene 1 sted: i en nøgle" in text
