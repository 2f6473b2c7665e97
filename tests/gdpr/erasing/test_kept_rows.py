# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rows that an erasure keeps excuse what is in them, and nothing beside them."""

from __future__ import annotations

import json

import pytest
from django.db import connection

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
