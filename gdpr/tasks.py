# SPDX-License-Identifier: AGPL-3.0-or-later
"""Celery's side of the duties, in the worker (role `duty`)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_init, worker_ready
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from accounts import clock, database
from gdpr import (
    escalation,
    intake,
    ledger,
    packages,
    packing,
    propagation,
    retention,
    sealwatch,
)
from gdpr.correspondents import packages as address_packages
from gdpr.correspondents import packing as address_packing
from gdpr.correspondents import run as address_run
from gdpr.enquiries import passing, watch
from gdpr.erasing import certificate, holding, repeat, run
from gdpr.letters import sealing
from gdpr.registry import Cadence
from gdpr.rights import restriction

# Seconds until an order to carry an erasure on is void: beat gives the next one by then.
EXPIRES = 60


@shared_task(name="gdpr.forget_hourly")
def forget_hourly() -> None:
    retention.run(clock.now(), Cadence.HOURLY)


@shared_task(name="gdpr.forget_nightly")
def forget_nightly() -> None:
    retention.run(clock.now(), Cadence.NIGHTLY)


@shared_task(name="gdpr.pack")
def pack() -> None:
    """People's packages, then customers' packages about an address."""
    packing.pack_due()
    address_packing.pack_due()


@shared_task(name="gdpr.destroy_packages")
def destroy_packages() -> None:
    now = clock.now()
    address_packages.destroy_due(now)
    # Last: it removes what no row knows any more.
    packages.destroy_due(now)


@shared_task(name="gdpr.take_further")
def take_further() -> None:
    """Every minute: requests that came otherwise than through the portal."""
    intake.work(clock.now())


@shared_task(name="gdpr.tell_recipients")
def tell_recipients() -> None:
    """Every five minutes: restrictions whose end was announced, and who has to be told of what."""
    now = clock.now()
    restriction.end_due(now)
    restriction.watch()
    propagation.tell_recipients(now)


@shared_task(name="gdpr.seal_letters")
def seal_letters() -> None:
    sealing.run(clock.now())


@shared_task(name="gdpr.escalate")
def escalate() -> None:
    now = clock.now()
    escalation.escalate(now)
    escalation.remind(now)
    watch.escalate(now)


@shared_task(name="gdpr.pass_on_enquiries")
def pass_on_enquiries() -> None:
    """Every minute: links, answers, passing on; then whether any of that is late."""
    now = clock.now()
    passing.run(now)
    watch.watch(now)


@shared_task(name="gdpr.try_seal")
def try_seal() -> None:
    sealwatch.watch(clock.now())


@worker_init.connect
def refuse_older_database(**kwargs: Any) -> None:
    """End the worker before it takes work: erasures are repeated before a backup is used."""
    if settings.DATABASE_ROLE != database.DUTY:
        return
    now = clock.now()
    # A database that is down says nothing about itself: the process starts and waits for it.
    with suppress(OperationalError):
        try:
            repeat.refuse_older_database(now)
        except ImproperlyConfigured as error:
            raise SystemExit(str(error)) from error
        repeat.attest(now)


@worker_ready.connect
def try_seal_at_start(**kwargs: Any) -> None:
    """Whoever starts the worker hears at once when nothing can be signed; mail goes on without."""
    if settings.DATABASE_ROLE == database.DUTY:
        try_seal.delay()


@worker_ready.connect
def release_held_at_start(**kwargs: Any) -> None:
    """What a restored backup brought back of rows that were kept longer goes at once again."""
    if settings.DATABASE_ROLE == database.DUTY:
        release_held.delay()


@shared_task(name="gdpr.start_erasures")
def start_erasures() -> None:
    """Every minute: the dry run of new erasures, and a task for each whose time has come."""
    now = clock.now()
    run.resolve_alerts()
    run.draw_up_plans(now)
    for erasure_id in run.due(now):
        erase.apply_async(kwargs={"erasure_id": str(erasure_id)}, expires=EXPIRES)


@shared_task(name="gdpr.erase")
def erase(*, erasure_id: str) -> None:
    run.carry_out(UUID(erasure_id), clock.now())


@shared_task(name="gdpr.start_address_erasures")
def start_address_erasures() -> None:
    """Every minute: a task for each erasure of an address that is not at its end."""
    for erasure_id in address_run.due(clock.now()):
        erase_address.apply_async(kwargs={"erasure_id": str(erasure_id)}, expires=EXPIRES)


@shared_task(name="gdpr.erase_address")
def erase_address(*, erasure_id: str) -> None:
    address_run.carry_out(UUID(erasure_id), clock.now())


@shared_task(name="gdpr.release_held")
def release_held() -> None:
    """Nightly: what earlier erasures had to leave, and no law holds any more."""
    holding.release_all(clock.now())


@shared_task(name="gdpr.probe_erasures")
def probe_erasures() -> None:
    """Nightly: whether somebody who was erased is back, and what the ledger need not know."""
    now = clock.now()
    repeat.probe(now)
    ledger.forget(now)
    repeat.attest(now)
    certificate.close_links(now)
