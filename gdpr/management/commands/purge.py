# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock, database
from accounts.management.roles import demand_role
from gdpr import retention


class Command(BaseCommand):
    help = "Delete what has reached the end of its period; exit 1 when something older is left."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and stop")

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.DUTY)
        now = clock.now()
        steps = retention.plan(now)
        if options["dry_run"]:
            for step in steps:
                self.stdout.write(f"{step.due:>10}  {', '.join(e.model for e in step.entries)}")
            return
        for done in retention.execute(steps, now):
            self.stdout.write(f"{done.rows:>10}  {done.what}  {done.seconds:.2f} s")
        late = [gauge.what for gauge in retention.measure(now) if not gauge.holds]
        if late:
            raise CommandError(f"Past their period: {', '.join(late)}")
