# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock, database
from accounts.management.roles import demand_role
from gdpr.erasing import repeat


class Command(BaseCommand):
    help = "After a restore: erase again whom the journal names; exit 1 when somebody is left."

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.DUTY)
        done = repeat.repeat(clock.now())
        self.stdout.write(f"{done.entries:>6}  ledger entries brought in from the journal")
        self.stdout.write(f"{done.erased:>6}  people erased again")
        self.stdout.write(f"{done.remaining:>6}  erased people left")
        if done.remaining or done.unfinished:
            raise CommandError("Not all are erased; the alerts and the erasures say why.")
