# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock, database
from accounts.management.roles import demand_role
from accounts.signedlines import LinesAltered
from gdpr.erasing import holding, repeat


class Command(BaseCommand):
    help = (
        "After a restore: erase again whom the journal names; exit 1 when somebody is left"
        " or the journal had lost lines."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.DUTY)
        now = clock.now()
        try:
            done = repeat.repeat(now)
        except LinesAltered as altered:
            raise CommandError(f"The journal was altered: {altered}") from None
        self.stdout.write(f"{done.entries:>6}  ledger entries brought in from the journal")
        self.stdout.write(f"{done.lost:>6}  lost lines written to the journal again")
        self.stdout.write(f"{done.erased:>6}  people erased again")
        self.stdout.write(f"{done.addresses:>6}  addresses erased again from customers' logs")
        self.stdout.write(f"{done.remaining:>6}  erased people and addresses left")
        self.stdout.write(f"{holding.erase_again(now):>6}  rows erased again that were kept longer")
        self.stdout.write(f"{holding.release_all(now):>6}  erasures of which nothing is kept now")
        if done.remaining or done.unfinished or holding.returned():
            raise CommandError("Not all are erased; the alerts and the erasures say why.")
        if done.lost:
            raise CommandError("The journal had lost lines: it may lack later erasures as well.")
