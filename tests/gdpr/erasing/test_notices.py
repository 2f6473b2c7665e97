# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whoever was given the data of an account hears that it is erased (GDPR article 19)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from accounts import vault
from accounts.models import OutgoingMail, User
from gdpr.deadlines import day_of
from gdpr.erasing import run
from gdpr.models import Erasure, Notice
from tests import build
from tests.gdpr.erasing.conftest import later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


def test_recipients_hear_of_an_erasure_by_the_number_of_the_account(
    asked: Erasure, gone: User
) -> None:
    with build.as_owner():
        build.supplier().save(force_insert=True)
    number = str(gone.pk)
    assert run.carry_out(asked.pk, later())
    row = Notice.objects.get(change=Notice.Change.ERASED)
    assert (row.state, row.person_id) == ("told", None)
    mail = OutgoingMail.objects.get(kind="gdpr/notice")
    assert number in vault.unseal(f"outgoing-mail|{mail.pk}", mail.sealed).decode()


def test_none_hears_of_an_erasure_but_who_had_the_data(asked: Erasure, gone: User) -> None:
    made, over = day_of(gone.created_at), day_of(later())
    times = {
        "Før": (date(2025, 1, 1), made),
        "Undervejs": (date(2025, 1, 1), made + timedelta(days=1)),
        "Sidst": (over, None),
        "Efter": (over + timedelta(days=1), None),
    }
    with build.as_owner():
        for name, (starts_on, ends_on) in times.items():
            build.supplier(name, starts_on=starts_on, ends_on=ends_on).save(force_insert=True)
    assert run.carry_out(asked.pk, later())
    told = Notice.objects.filter(change=Notice.Change.ERASED)
    assert sorted(told.values_list("recipient__name", flat=True)) == ["Sidst", "Undervejs"]
