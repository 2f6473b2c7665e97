# SPDX-License-Identifier: AGPL-3.0-or-later
"""Packages from order to destruction; what is in one is composed in gdpr/rights.

The order is a row. A worker takes a row by turn and lease, writes a sealed file and makes the row
ready; file and key are destroyed together when the time is over.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import vault
from accounts.models import User
from accounts.refusals import Refused
from gdpr import requests, sealedfiles
from gdpr.models import AddressPackage, Package, RequestedRight, Step
from gdpr.models.packages import PACKAGE_DAYS
from gdpr.sealedfiles import SealingWriter

State = Package.State
KEY_OCTETS = 32
# Longer than most parts take; a worker renews it with every part. One who comes later than that
# finds the package taken, and what it has made is nothing. It counts when a worker's host is gone:
# a worker that alone has died gives back its turn, and so the package, at once.
LEASE = timedelta(minutes=3)
TRIES = 3
# So long before its period is over a package ends: the task that destroys it, which comes every
# five minutes, may be late once and nothing lives for longer than the period.
DESTROYED_WITHIN = timedelta(minutes=10)
PUT_BACK = timedelta(minutes=5)


class PackageGone(Refused):
    text: Promise = _("The package is no longer there. Ask for a new one; it costs nothing.")


def order(right: RequestedRight, person: User, now: datetime) -> Package:
    """Ask for a package, with the key that it will be sealed under. Role `web`."""
    package = Package(right=right, person=person, created_at=now)
    package.sealed_key = vault.seal(_purpose(package), secrets.token_bytes(KEY_OCTETS))
    package.save(force_insert=True)
    return package


def read(package: Package, now: datetime) -> Iterator[bytes]:
    """Return the content of a package that is ready, piece by piece. Raises PackageGone.

    Row and key are read before this returns, the file while it is iterated. Role `web`.
    """
    path = path_of(package.id)
    if not may_be_fetched(package, now) or not path.exists():
        raise PackageGone
    return sealedfiles.opened(path, _key(package))


def may_be_fetched(package: Package, now: datetime) -> bool:
    ends_at = package.expires_at
    return package.state == State.READY and ends_at is not None and now < ends_at


def end_now(package: Package, now: datetime) -> None:
    """Let a package be fetched no more; the worker destroys it at its next round. Role `web`."""
    Package.objects.filter(pk=package.pk, state=State.READY).update(expires_at=now)


def cancel(right: RequestedRight) -> None:
    """Take back the order of a package that is not ready. Roles `web` and `staff`."""
    Package.objects.filter(right=right).exclude(state=State.READY).delete()


def to_do(now: datetime) -> list[UUID]:
    """Return the packages that wait or are being made, the oldest first. Role `duty`."""
    rows = _unmade().exclude(state=State.WAITING, leased_until__gt=now)
    return list(rows.order_by("created_at").values_list("id", flat=True))


def lease(package_id: UUID, now: datetime, *, alone: bool) -> Package | None:
    """Take a package that is to be made, unless another worker has it. Role `duty`.

    `alone` says that nobody is at it for certain: a lease that has not ended is a dead worker's.
    """
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    free |= Q(state=State.BUILDING) if alone else Q(pk__in=[])
    with transaction.atomic():
        rows = _unmade().filter(free, pk=package_id)
        package = rows.select_for_update(skip_locked=True, of=("self",)).first()
        if package is not None:
            package.state, package.leased_until = State.BUILDING, now + LEASE
            package.attempts += 1
            package.parts_done = 0
            package.save()
    return package


def _unmade() -> QuerySet[Package]:
    rows = Package.objects.filter(state__in=[State.WAITING, State.BUILDING], attempts__lt=TRIES)
    # What staff have taken into their own hands waits for them.
    return rows.filter(right__state=RequestedRight.State.ACT)


def writer(package: Package) -> SealingWriter:
    """Return what the content is written to. Role `duty`."""
    return SealingWriter(path_of(package.id), _key(package))


def tell_progress(package: Package, done: int, total: int, now: datetime) -> None:
    """Show how far a package has come, and keep the lease. Raises PackageGone. Role `duty`."""
    _change(package, parts_done=done, parts_total=total, leased_until=now + LEASE)


def make_ready(package: Package, octets: int, digest: str, now: datetime) -> None:
    """Open a package to its person for almost PACKAGE_DAYS. Raises PackageGone. Role `duty`."""
    ends_at = now + timedelta(days=PACKAGE_DAYS) - DESTROYED_WITHIN
    _change(package, state=State.READY, leased_until=None, size=octets, sha256=digest,
            made_at=now, expires_at=ends_at)  # fmt: skip
    requests.note(package.right, Step.Kind.PREPARED, requests.SERVICE, now, reason=digest)


def put_back(package: Package, now: datetime) -> bool:
    """Have another try later, or none after TRIES; return whether there is one. Role `duty`."""
    again = package.attempts < TRIES
    state = State.WAITING if again else State.FAILED
    # Who no longer has the package does not decide what becomes of it.
    return not _is_changed(package, state=state, leased_until=now + PUT_BACK) or again


def give_up(now: datetime) -> list[Package]:
    """Fail, and return, the packages whose workers have died TRIES times. Role `duty`."""
    ended = Package.objects.filter(state=State.BUILDING, attempts__gte=TRIES, leased_until__lte=now)
    return [package for package in ended if _is_changed(package, state=State.FAILED)]


def failed() -> set[UUID]:
    """Return the packages that wait for staff. Role `duty`."""
    return set(Package.objects.filter(state=State.FAILED).values_list("id", flat=True))


def _change(package: Package, **values: object) -> None:
    if not _is_changed(package, **values):
        raise PackageGone


def _is_changed(package: Package, **values: object) -> bool:
    """Write to a package, unless its person has taken it back or another worker has it by now."""
    mine = Package.objects.filter(
        pk=package.pk,
        state=State.BUILDING,
        attempts=package.attempts,
        leased_until=package.leased_until,
    )
    changed = mine.update(**values)
    for name, value in values.items():
        setattr(package, name, value)
    return bool(changed)


def try_again(package: Package) -> None:
    """Have a failed package made after all. Role `staff`."""
    failed = Package.objects.filter(pk=package.pk, state=State.FAILED)
    failed.update(state=State.WAITING, attempts=0, leased_until=None)


def destroy_due(now: datetime) -> int:
    """Destroy what has had its time, and files that no row knows; return how many. Role `duty`."""
    due = list(Package.objects.filter(expires_at__lte=now).select_related("right"))
    for package in due:
        destroy(package, now)
    return len(due) + _remove_strays()


def destroy(package: Package, now: datetime) -> None:
    """Destroy file and key of a package, whatever its state; the request keeps a step of it."""
    sealedfiles.remove(path_of(package.id))
    with transaction.atomic():
        requests.note(package.right, Step.Kind.DESTROYED, requests.SERVICE, now)
        package.delete()


def path_of(package_id: UUID) -> Path:
    """Return where the sealed file of a package lies."""
    return Path(settings.PACKAGES) / package_id.hex


def _remove_strays() -> int:
    """Remove files whose row went without them, as with the account of its person."""
    directory = Path(settings.PACKAGES)
    files = directory.iterdir() if directory.is_dir() else ()
    names = {sealedfiles.name_of(file) for file in files}
    rows = (Package.objects, AddressPackage.objects)
    strays = names - {key.hex for all_ in rows for key in all_.values_list("id", flat=True)}
    for name in strays:
        sealedfiles.remove(directory / name)
    return len(strays)


def _key(package: Package) -> bytes:
    return vault.unseal(_purpose(package), package.sealed_key)


def _purpose(package: Package) -> str:
    return f"package|{package.id}"
