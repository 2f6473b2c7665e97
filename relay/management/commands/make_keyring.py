# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import database, keyfiles
from accounts.management.roles import demand_role
from relay.models import Content
from relay.queue import keyring_directory


class Command(BaseCommand):
    help = "Make and mark the directory of the hour keys, before the first mail is taken in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--lost",
            action="store_true",
            help="the old keyring will not come back: what waits under it ends undelivered",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.RELAY)
        directory = keyring_directory()
        is_marked = (directory / keyfiles.MARK).exists()
        if not is_marked and not options["lost"] and Content.objects.exists():
            raise CommandError(
                "Mail waits under keys that are not here: mount the keyring again,"
                " or give it up with --lost."
            )
        keyfiles.make_keyring(directory)
        self.stdout.write("The keyring is marked.")
