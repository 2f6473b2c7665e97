# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts import database, rotation, vault
from accounts.keyfiles import CACHE_SECONDS
from accounts.management.roles import demand_role


class Command(BaseCommand):
    help = "Make a new installation key and seal everything under it again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--settle",
            type=float,
            default=CACHE_SECONDS + 1,
            help="seconds to wait for other processes to see the new key before the second pass",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.DUTY)
        number = vault.make_installation_key()
        first = rotation.reseal(number)
        self.stdout.write(f"Installation key {number} made; {first} values sealed again.")
        time.sleep(options["settle"])
        late = rotation.reseal(number)
        self.stdout.write(f"{late} more that other processes had sealed meanwhile.")
        self.stdout.write(f"Keys before {number} now open backups only.")
