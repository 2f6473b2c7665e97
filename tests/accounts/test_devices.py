# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.models import BackupCode, BackupCodeDevice, TOTPDevice, User
from accounts.models.devices import code_hash
from accounts.tenancy import person_context
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_twofactor import value

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4


def _use_at_once(user: User, model: type[TOTPDevice | BackupCodeDevice], token: str) -> list[bool]:
    """Use a value in several transactions at the same time; return which of them it let in."""
    barrier = threading.Barrier(WORKERS)

    def use(_: int) -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE web")
            with person_context(user.id):
                device = model.objects.get()
                barrier.wait(timeout=20)
                return bool(device.verify_token(token))
        finally:
            connection.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        return sorted(pool.map(use, range(WORKERS)))


def test_value_of_the_app_is_good_once(anna: User, clock: Clock) -> None:
    secret = build.second_factor(anna)
    assert _use_at_once(anna, TOTPDevice, value(secret, clock)) == [False] * 3 + [True]


def test_backup_code_is_good_once(anna: User) -> None:
    with build.as_owner():
        device = BackupCodeDevice.objects.create(user=anna, name="codes", created_at=build.NOW)
        BackupCode.objects.create(device=device, user=anna, code_hash=code_hash(anna.id, "abc-def"))
    assert _use_at_once(anna, BackupCodeDevice, "abc-def") == [False] * 3 + [True]
