# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasing an address by real processes, killed at every step."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import datetime

import pytest
from django.conf import settings

from accounts.models import Organisation
from gdpr import ledger
from gdpr.correspondents import run, steps
from gdpr.erasing import repeat
from gdpr.models import AddressErasure
from relay.models import Delivery, MessageHeader
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK
from tests.gdpr.processes import environment, here

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.as_role("duty"),
    pytest.mark.timeout(900),
]


def _run_worker(erasure: AddressErasure, now: datetime, step: str, moment: str) -> int:
    command = [sys.executable, "-m", "tests.gdpr.correspondents.worker", str(erasure.pk)]
    command += [now.isoformat(), step, moment]
    return subprocess.run(command, env=environment(here()), cwd=settings.BASE_DIR).returncode


def test_worker_killed_at_every_step_leaves_a_whole_erasure(
    house: Organisation, now: datetime, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, "bo@andre.example")
    seeds.mail(house, earlier, "bo@andre.example", sender=ERIK)
    seeds.suppressed(house, ERIK, earlier)
    erasure = seeds.asked(house, ERIK, now)
    for number, step in enumerate(steps.ORDER):
        moment = ("before", "after")[number % 2]
        assert _run_worker(erasure, now, step, moment) == -signal.SIGKILL, step
        erasure.refresh_from_db()
        assert steps.ORDER.index(erasure.step) == number + (moment == "after" and step != steps.END)
        repeat.refuse_older_database(now)
    assert run.carry_out(erasure.pk, now)
    erasure.refresh_from_db()
    assert erasure.report["tally"] == {
        "removed": {"relay.MessageHeader": 2},
        "changed": {"relay.Suppression": 1, "relay.Message": 1, "relay.Delivery": 1},
        "unlinked": {
            "relay.Message": 1,
            "relay.Delivery": 1,
            "relay.Attempt": 2,
            "relay.Report": 2,
            "relay.Ending": 2,
        },
    }
    assert sorted(row.recipient for row in Delivery.objects.all()) == [
        "",
        "bo@andre.example",
        "bo@andre.example",
    ]
    assert not MessageHeader.objects.exists()
    assert list(ledger.journal(now.date())) == [erasure.pk]
