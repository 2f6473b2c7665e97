# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock, database
from accounts.management.roles import demand_role
from config.promises import Outcome, look, record

COLUMNS = ("id", "holds", "promise", "control", "switched off by", "seen")


class Command(BaseCommand):
    help = "Check every promise on the running system; exit status 1 when one does not hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.DUTY)
        outcomes = look()
        record(outcomes, clock.now())
        rows = [_row(outcome) for outcome in outcomes]
        write = _json if options["format"] == "json" else _table
        self.stdout.write(write(rows))
        broken = [row["id"] for row in rows if not row["holds"]]
        if broken:
            raise CommandError(f"Not kept: {', '.join(broken)}.")


def _row(outcome: Outcome) -> dict[str, Any]:
    promise, result = outcome.promise, outcome.result
    values = (
        promise.id,
        result.holds,
        str(promise.words),
        promise.control,
        promise.switched_off_by,
        result.seen,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=1, ensure_ascii=False)


def _table(rows: list[dict[str, Any]]) -> str:
    """One promise a line, what was seen below it."""
    lines = []
    for row in rows:
        mark = "kept" if row["holds"] else "NOT KEPT"
        lines.append(f"{row['id']:<8} {mark:<9} {row['promise']}")
        lines.append(f"{'':<18} seen: {row['seen']}; control: {row['control']}")
    return "\n".join(lines)
