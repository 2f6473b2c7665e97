# SPDX-License-Identifier: AGPL-3.0-or-later
"""Celery's side of the relay: `relay.deliver`, `relay.close_hour_keys` and `relay.take_events` run
in `delivery` (role relay, with the keyring), the others in `worker` (role duty).
"""

from __future__ import annotations

import mmap
import os
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError

from accounts import clock
from relay import (
    bouncerates,
    cancelling,
    counting,
    destinations,
    esptaking,
    heartbeat,
    holding,
    hourkeys,
    pausing,
    restricting,
    retrying,
    reviews,
    scopes,
    shift,
    suppressions,
    suppresswaiting,
    sweeping,
    upkeep,
    verification,
)

SUCCESSOR_EXPIRES_SECONDS = 60

# One octet that the parent shares with the children it forks: they get no SIGTERM, and Redis may
# be what is being stopped.
_told_to_stop = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _tell_children(**_kwargs: Any) -> None:
    _told_to_stop[0] = 1


# Acknowledged when it starts: a shift that died comes again from beat, not hours later from Redis.
@shared_task(name="relay.deliver", acks_late=False)
def deliver() -> None:
    """Work one shift; ends at once when every slot is taken."""
    parent = os.getppid()
    shift.work_a_shift(
        # A parent that was killed leaves its children to somebody else.
        stop=lambda: bool(_told_to_stop[0]) or os.getppid() != parent,
        hand_over=_ask_for_successor,
    )


def _ask_for_successor() -> bool:
    try:
        deliver.apply_async(expires=SUCCESSOR_EXPIRES_SECONDS, retry=False)
    except OperationalError:
        return False
    return True


@shared_task(name="relay.close_hour_keys")
def close_hour_keys() -> None:
    hourkeys.close_due(hourkeys.open_keyring(), clock.now())


@shared_task(name="relay.forget_hour_keys")
def forget_hour_keys() -> None:
    hourkeys.forget_closed(clock.now())


@shared_task(name="relay.reap_content")
def reap_content() -> None:
    upkeep.reap_content(clock.now())


@shared_task(name="relay.sweep")
def sweep() -> None:
    sweeping.sweep(clock.now())


@shared_task(name="relay.retry")
def retry(*, organisation_id: str, scope_id: str) -> None:
    """Go on with what a person asked for about more than one request writes.

    `scope_id` is the scope, sealed.
    """
    retrying.retry_now(scopes.opened(UUID(organisation_id), scope_id), clock.now())


@shared_task(name="relay.cancel")
def cancel(*, organisation_id: str, scope_id: str) -> None:
    """As above."""
    cancelling.cancel_now(scopes.opened(UUID(organisation_id), scope_id), clock.now())


@shared_task(name="relay.send_what_waited")
def send_what_waited(*, organisation_id: str) -> None:
    retrying.send_what_waited(UUID(organisation_id), clock.now())


@shared_task(name="relay.settle_holds")
def settle_holds() -> None:
    """What the sweep does each minute, sooner."""
    holding.settle(clock.now())


@shared_task(name="relay.recheck_domains")
def recheck_domains() -> None:
    verification.recheck(clock.now())


@shared_task(name="relay.forget_destinations")
def forget_destinations() -> None:
    destinations.forget(clock.now())


@shared_task(name="relay.take_events")
def take_events() -> None:
    esptaking.take(clock.now())


@shared_task(name="relay.look_at_bounces")
def look_at_bounces() -> None:
    bouncerates.look(clock.now())
    reviews.tell()


@shared_task(name="relay.roll_counts")
def roll_counts() -> None:
    counting.roll(clock.now())


@shared_task(name="relay.forget_suppressed")
def forget_suppressed() -> None:
    now = clock.now()
    suppressions.forget(now)
    restricting.forget(now)


@shared_task(name="relay.cancel_suppressed")
def cancel_suppressed(*, suppression_id: str) -> None:
    suppresswaiting.cancel(UUID(suppression_id), clock.now())


@shared_task(name="relay.cancel_imported")
def cancel_imported(*, organisation_id: str) -> None:
    suppresswaiting.cancel_imported(UUID(organisation_id), clock.now())


@shared_task(name="relay.tell_pauses")
def tell_pauses() -> None:
    pausing.tell()


@shared_task(name="relay.heartbeat")
def beat() -> None:
    heartbeat.mark(clock.now())
