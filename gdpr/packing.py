# SPDX-License-Identifier: AGPL-3.0-or-later
"""The worker's round: every package that is due is put together, one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import transaction

from accounts import alerts, audit, clock
from accounts.refusals import Refused
from accounts.turns import turn
from gdpr import packages, requests
from gdpr.archives import Told
from gdpr.letters import drafts, writing
from gdpr.models import Package, RequestedRight, Right
from gdpr.rights import access, portability
from gdpr.sealedfiles import SealingWriter

logger = logging.getLogger(__name__)

Compose = Callable[[Package, SealingWriter, Told, datetime], None]
COMPOSERS: dict[str, Compose] = {
    Right.ACCESS: access.compose,
    Right.PORTABILITY: portability.compose,
}
ALERT = "package-failed"


def pack_due() -> int:
    """Put together what is due; return how many packages became ready. Role `duty`."""
    _tell_of_dead_workers()
    ready = 0
    for package_id in packages.to_do(clock.now()):
        with turn(f"package {package_id}") as mine:
            # A package can take minutes, so that each lease counts from its own beginning.
            package = packages.lease(package_id, clock.now(), alone=mine)
            ready += package is not None and _pack(package)
    return ready


def _tell_of_dead_workers() -> None:
    for package in packages.give_up(clock.now()):
        logger.warning("package %s not made: its workers died", package.id)
        alerts.raise_alert(ALERT, str(package.id))
    # Of what was taken back, or is made after all, nobody need be told any more.
    alerts.resolve_others(ALERT, [str(package_id) for package_id in packages.failed()])


def _pack(package: Package) -> bool:
    try:
        _compose(package)
    except Refused:
        # The person has withdrawn the request meanwhile, or another worker has it.
        return False
    except Exception as error:  # noqa: BLE001 - those behind it do not wait for a fault of one
        # The text of these exceptions can hold what was being written: only their kind is kept.
        logger.warning("package %s not made: %s", package.id, type(error).__name__)
        if not packages.put_back(package, clock.now()):
            alerts.raise_alert(ALERT, str(package.id))
        return False
    return True


def _compose(package: Package) -> None:
    compose = COMPOSERS[package.right.right]
    with packages.writer(package) as out:
        compose(package, out, partial(_tell, package), clock.now())
        _answer(package, out)


def _tell(package: Package, done: int, total: int) -> None:
    packages.tell_progress(package, done, total, clock.now())


def _answer(package: Package, out: SealingWriter) -> None:
    """Open the package, close the right and tell the person, all at once."""
    now = clock.now()
    with transaction.atomic():
        requests.hold(package.right)
        packages.make_ready(package, out.octets, out.digest.hexdigest(), now)
        requests.move(package.right, RequestedRight.State.DONE, requests.SERVICE, now)
        drafts.send(writing.package_ready(package))
        audit.record_installation(None, "package.made", package)
        # Last, when it is certain that the package is this worker's: the file gets its name.
        out.finish()
