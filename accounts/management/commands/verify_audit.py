# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import audit, database
from accounts.management.roles import demand_role


class Command(BaseCommand):
    help = "Recompute every audit chain and compare it with its anchors; exit 1 on any fault."

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.DUTY)
        faults = audit.verify()
        for fault in faults:
            self.stdout.write(fault)
        if faults:
            raise CommandError(f"{len(faults)} faults in the audit trail")
        self.stdout.write("Every chain is whole.")
