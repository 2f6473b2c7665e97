# SPDX-License-Identifier: AGPL-3.0-or-later
"""Put a large package together as the worker does, in a process and under a role of the worker's.

A program of the lane of exports.py: takes what to do as JSON, and gives what it found as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

MEBIBYTE = 1024 * 1024
PARTS = "json/accounts-auditevent-"

# Every other event is a colleague's act on the person, the rest the person's on the colleague.
EVENTS = """
INSERT INTO accounts_auditevent (organisation_id, sequence, at, actor_id, action, target_type,
    target_id, fields, previous_digest, digest)
SELECT %(organisation)s, 1000000 + n, now() - n * interval '1 second',
    CASE WHEN n %% 2 = 0 THEN %(own)s::uuid ELSE %(other)s::uuid END, 'person.viewed',
    'accounts.User', CASE WHEN n %% 2 = 0 THEN %(other)s ELSE %(own)s END,
    ARRAY['first_name', 'phone'], '', ''
FROM generate_series(1, %(rows)s) n
"""


def main(order: dict[str, Any]) -> Any:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    acts: dict[str, Callable[..., Any]] = {"seed": seed, "export": export}
    return acts[order.pop("act")](**order)


def seed(organisation: str, rows: int) -> None:
    """Give a person so many events, and order a small package and the large one; as the owner."""
    from django.db import connection

    from accounts.models import AuditActor, Organisation, Role
    from gdpr.models import RequestedRight, Right
    from tests import build

    house = Organisation.objects.get(id=organisation)
    anna, bo = build.person("Anna", "Due"), build.person("Bo", "Krog")
    for user, role in ((anna, Role.OWNER), (bo, Role.DEVELOPER)):
        build.member(house, user, role)
    own, other = (
        str(AuditActor.objects.create(organisation=house, user=user).pk) for user in (anna, bo)
    )
    with connection.cursor() as cursor:
        named: dict[str, Any] = {
            "organisation": organisation,
            "own": own,
            "other": other,
            "rows": rows,
        }
        cursor.execute(EVENTS, named)
        cursor.execute("ANALYZE accounts_auditevent")
    # The small one first, as the older is packed first: what a worker loads once is in its idle.
    for right in (Right.PORTABILITY, Right.ACCESS):
        asked = build.request_of(anna, right)
        asked.rights.update(state=RequestedRight.State.ACT)
        build.package_of(asked)


def export() -> dict[str, float]:
    """Return what the large package took, and the rows in it; as `duty`."""
    from accounts import clock
    from gdpr import packages, packing
    from gdpr.models import Package, Right

    # Only the small one is due; the large one is looked at afterwards.
    large = Package.objects.get(right__right=Right.ACCESS)
    Package.objects.filter(pk=large.pk).update(state=Package.State.FAILED)
    assert packing.pack_due() == 1
    packages.try_again(large)
    idle, begun = _resident(), time.perf_counter()
    assert packing.pack_due() == 1
    seconds, peak = time.perf_counter() - begun, _most(resource.RUSAGE_SELF)
    large.refresh_from_db()
    return {
        "seconds": seconds,
        "idle_mib": idle,
        "peak_mib": peak,
        "child_mib": _most(resource.RUSAGE_CHILDREN),
        "octets": large.size,
        "rows": _rows(packages.read(large, clock.now())),
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def _most(whose: int) -> float:
    """Return the most that a process, or the largest of its children, ever held."""
    return resource.getrusage(whose).ru_maxrss / 1024


def _rows(content: Any) -> int:
    """Return the rows of the large table that are in the file, whatever its manifest says."""
    with tempfile.TemporaryFile() as file:
        for piece in content:
            file.write(piece)
        with zipfile.ZipFile(file) as book:
            parts = [
                name for name in book.namelist() if name.startswith("json/accounts-auditevent-")
            ]
            return sum(len(json.loads(book.read(name))["rows"]) for name in parts)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
