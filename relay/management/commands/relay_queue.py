# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts import clock, database
from accounts.management.roles import demand_role
from relay.overview import Overview, overview


class Command(BaseCommand):
    help = "Show what waits in the queue: by state and reason, the oldest, by organisation."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.RELAY)
        seen = overview(clock.now())
        self.stdout.write(json.dumps(seen.as_dict(), indent=1) if options["json"] else _text(seen))


def _text(seen: Overview) -> str:
    lines = [f"waiting {seen.waiting}  leased {seen.leased}  due {seen.due}"]
    if seen.oldest_accepted_at:
        lines.append(f"oldest accepted {seen.oldest_accepted_at:%Y-%m-%d %H:%M:%S} UTC")
    lines += [f"{reason:<16} {count}" for reason, count in seen.reasons.items()]
    lines += [
        f"{one.organisation_id}  waiting {one.waiting}  due {one.due}  "
        f"oldest {one.oldest_accepted_at:%Y-%m-%d %H:%M:%S} UTC"
        for one in seen.organisations
    ]
    return "\n".join(lines)
