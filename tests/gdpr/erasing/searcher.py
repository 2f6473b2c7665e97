# SPDX-License-Identifier: AGPL-3.0-or-later
"""The search after an erasure, by a process of its own on whichever database it is given.

The argument is JSON: the four identifiers, and the keys of rows that are kept, by model.
"""

from __future__ import annotations

import json
import sys
from uuid import UUID

import django


def main(argument: str) -> None:
    django.setup()
    from accounts import clock  # noqa: PLC0415 - models need the set-up
    from gdpr import scan  # noqa: PLC0415
    from gdpr.erasing import plan  # noqa: PLC0415

    sought, kept = json.loads(argument)
    sought["person_id"] = UUID(sought["person_id"])
    made = scan.scan(scan.Sought(**sought), clock.now(), plan.in_tables(kept))
    json.dump([[f.place, f.kind.value, f.count, f.kept] for f in made.findings], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
