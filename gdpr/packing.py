# SPDX-License-Identifier: AGPL-3.0-or-later
"""The worker's round: every package that is due is put together, one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import DatabaseError, transaction

from accounts import alerts, audit, clock, vault
from accounts.refusals import Refused
from gdpr import emails, packages, requests
from gdpr.documents import BoundedError
from gdpr.models import Package, RequestedRight, Right
from gdpr.rights import access, portability
from gdpr.sealedfiles import SealingWriter

logger = logging.getLogger(__name__)

Compose = Callable[[Package, SealingWriter, access.Told, datetime], None]
COMPOSERS: dict[str, Compose] = {
    Right.ACCESS: access.compose,
    Right.PORTABILITY: portability.compose,
}
# What can fail in a package without being the fault of all others behind it.
FAULTS = (OSError, DatabaseError, vault.VaultError, BoundedError, ValueError, LookupError)
ALERT = "package-failed"


def pack_due(now: datetime) -> int:
    """Put together what is due; return how many packages became ready. Role `duty`."""
    ready = 0
    while (package := packages.lease_next(now)) is not None:
        ready += _pack(package)
    return ready


def _pack(package: Package) -> bool:
    try:
        _compose(package)
    except Refused:
        # The person has withdrawn the request meanwhile.
        return False
    except FAULTS as error:
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
        out.finish()
    _answer(package, out.octets, out.digest.hexdigest())


def _tell(package: Package, done: int, total: int) -> None:
    packages.tell_progress(package, done, total, clock.now())


def _answer(package: Package, octets: int, digest: str) -> None:
    """Open the package, close the right and tell the person, all at once."""
    now = clock.now()
    with transaction.atomic():
        packages.make_ready(package, octets, digest, now)
        requests.move(package.right, RequestedRight.State.DONE, requests.SERVICE, now)
        emails.package_ready(package)
        alerts.resolve_alert(ALERT, str(package.id))
        audit.record_installation(None, "package.made", package)
