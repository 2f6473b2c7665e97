# SPDX-License-Identifier: AGPL-3.0-or-later
"""Memory of a worker that puts an access package of a million rows together (rights-export-1m).

The rows are the audit trail's, half of them about a colleague, so that every page has somebody to
hide; each is written three times over, sealed, and counted afterwards in the file itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.bench.lanes import Side
from tests.bench.logs import SMALLER, house, run
from tests.bench.rows import Row
from tests.rig.service import Service

LANE = "rights-export-1m"
ROWS = 1_000_000
MEBIBYTES = 200.0
BAR = f"< {MEBIBYTES:.0f} MiB above idle"
PROGRAM = "tests.bench.exporting"


async def export_rows(service: Service, logged: int, _side: Side) -> list[Row]:
    return [await asyncio.to_thread(_row, service, logged or ROWS)]


def _row(service: Service, rows: int) -> Row:
    run(service, "owner", "seed", program=PROGRAM, organisation=str(house(service)), rows=rows)
    found = run(service, "duty", "export", program=PROGRAM)
    unfit = [SMALLER] * (rows < ROWS)
    unfit += [f"the package has {found['rows']} rows"] * (found["rows"] < rows)
    return judged(found, unfit)


def judged(found: dict[str, Any], unfit: list[str]) -> Row:
    """The row of the lane; `unfit` says why it is not judged."""
    above = found["peak_mib"] - found["idle_mib"]
    return Row(
        name=LANE,
        ours=f"{above:.0f} MiB",
        reference=f"not run: {'; '.join(unfit)}" if unfit else "-",
        bar=BAR,
        holds=None if unfit else above < MEBIBYTES,
        details=[
            f"{LANE}: {found['rows']} rows in {found['seconds']:.0f} s, {found['octets']} octets;"
            f" idle {found['idle_mib']:.0f} MiB, at most {found['peak_mib']:.0f} MiB;"
            f" the child that sets the sheet {found['child_mib']:.0f} MiB"
        ],
        figures=found,
    )
