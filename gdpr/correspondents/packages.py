# SPDX-License-Identifier: AGPL-3.0-or-later
"""Packages of what an organisation has of an address, from order to destruction.

The order is a row; the worker writes a sealed file. File and key are destroyed together when the
time is over, or when the address is erased.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils.translation import get_language

from accounts import audit, limits, vault
from accounts.limits import HOUR, Limit
from accounts.models import Membership
from gdpr import sealedfiles
from gdpr.correspondents import subject
from gdpr.correspondents.erasers import Tally
from gdpr.correspondents.whom import Correspondent
from gdpr.models import AddressPackage
from gdpr.models.packages import PACKAGE_DAYS
from gdpr.packages import DESTROYED_WITHIN, KEY_OCTETS, PUT_BACK, TRIES, PackageGone, path_of
from gdpr.sealedfiles import SealingWriter

State = AddressPackage.State
PACKAGES = Limit("address-packages", ((60, HOUR),))
MODEL = "gdpr.AddressPackage"


@transaction.atomic
def order(address: str, *, by: Membership, now: datetime) -> AddressPackage:
    """Ask for a package, with the key that it will be sealed under. Role `web`. Raises TooMany."""
    limits.check(PACKAGES, str(by.organisation_id))
    package = AddressPackage(
        organisation_id=by.organisation_id,
        language=(get_language() or "da")[:2],
        created_at=now,
        due_at=now,
    )
    subject.seal(package, address)
    package.sealed_key = vault.seal(
        _key_purpose(package),
        secrets.token_bytes(KEY_OCTETS),
        organisation_id=package.organisation_id,
    )
    package.save(force_insert=True)
    audit.record(by.user, "addresspackage.requested", package)
    return package


def read(package: AddressPackage, now: datetime) -> Iterator[bytes]:
    """Return the content piece by piece. Raises PackageGone. Role `web`.

    Row and key are read before this returns, the file while it is iterated.
    """
    path = path_of(package.pk)
    if not may_be_fetched(package, now) or not path.exists():
        raise PackageGone
    return sealedfiles.opened(path, _key(package))


def may_be_fetched(package: AddressPackage, now: datetime) -> bool:
    ends_at = package.expires_at
    return package.state == State.READY and ends_at is not None and now < ends_at


def end_now(package: AddressPackage, now: datetime) -> None:
    """Let a package be fetched no more; the worker destroys it at its next round. Role `web`."""
    AddressPackage.objects.filter(pk=package.pk, state=State.READY).update(expires_at=now)


def to_do(now: datetime) -> list[UUID]:
    """Return the packages to put together, the oldest first. Role `duty`."""
    rows = AddressPackage.objects.filter(state=State.WAITING, due_at__lte=now)
    return list(rows.order_by("created_at").values_list("id", flat=True))


def writer(package: AddressPackage) -> SealingWriter:
    """Return what the content is written to. Role `duty`."""
    return SealingWriter(path_of(package.pk), _key(package))


def make_ready(package: AddressPackage, out: SealingWriter, rows: int, now: datetime) -> None:
    """Open a package for almost PACKAGE_DAYS. Raises PackageGone where it was destroyed."""
    ends_at = now + timedelta(days=PACKAGE_DAYS) - DESTROYED_WITHIN
    with transaction.atomic():
        waiting = AddressPackage.objects.filter(pk=package.pk, state=State.WAITING)
        if not waiting.update(
            state=State.READY, rows=rows, size=out.octets, sha256=out.digest.hexdigest(),
            made_at=now, expires_at=ends_at,
        ):  # fmt: skip
            raise PackageGone
        audit.record(None, "addresspackage.made", package)
        # Last, when it is certain that there is a row for it: the file gets its name.
        out.finish()


def begin(package_id: UUID, now: datetime) -> AddressPackage | None:
    """Count a try, so that what ends its worker is not begun for ever; None when it is gone.

    The worker has its turn. Role `duty`.
    """
    with transaction.atomic():
        rows = AddressPackage.objects.select_for_update()
        package = rows.filter(pk=package_id, state=State.WAITING, due_at__lte=now).first()
        if package is not None and package.attempts >= TRIES:
            package.state = State.FAILED
            # It says whom it is about, and goes as one that was made does.
            package.expires_at = now + timedelta(days=PACKAGE_DAYS)
            package.save()
        elif package is not None:
            package.attempts += 1
            package.save()
    return package


def put_back(package: AddressPackage, now: datetime) -> None:
    """Have another try later. Role `duty`."""
    waiting = AddressPackage.objects.filter(pk=package.pk, state=State.WAITING)
    waiting.update(due_at=now + PUT_BACK)


def destroy_due(now: datetime) -> int:
    """Destroy what has had its time; return how many. Role `duty`."""
    return sum(map(_destroy, AddressPackage.objects.filter(expires_at__lte=now)))


def destroy_about(whom: Correspondent) -> Tally:
    """Destroy an organisation's packages about an address: files first. Role `duty`."""
    rows = AddressPackage.objects.for_organisation(whom.organisation_id)
    about = [row for row in rows if subject.is_about(row, whom.address)]
    tally = Tally()
    tally.removed[MODEL] = sum(map(_destroy, about))
    return tally


def _destroy(package: AddressPackage) -> int:
    sealedfiles.remove(path_of(package.pk))
    package.delete()
    return 1


def _key(package: AddressPackage) -> bytes:
    return vault.unseal(
        _key_purpose(package), package.sealed_key, organisation_id=package.organisation_id
    )


def _key_purpose(package: AddressPackage) -> str:
    return f"addresspackage-key|{package.pk}"
