# SPDX-License-Identifier: AGPL-3.0-or-later
"""Celery's side of the duties, in the worker (role `duty`)."""

from __future__ import annotations

from celery import shared_task

from accounts import clock
from gdpr import escalation, packages, packing, retention
from gdpr.registry import Cadence


@shared_task(name="gdpr.forget_hourly")
def forget_hourly() -> None:
    retention.run(clock.now(), Cadence.HOURLY)


@shared_task(name="gdpr.forget_nightly")
def forget_nightly() -> None:
    retention.run(clock.now(), Cadence.NIGHTLY)


@shared_task(name="gdpr.pack")
def pack() -> None:
    packing.pack_due(clock.now())


@shared_task(name="gdpr.destroy_packages")
def destroy_packages() -> None:
    packages.destroy_due(clock.now())


@shared_task(name="gdpr.escalate")
def escalate() -> None:
    escalation.escalate(clock.now())
