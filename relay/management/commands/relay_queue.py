# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand

from accounts import clock, database
from accounts.management.roles import demand_role
from relay.overview import Overview, Part, RestingRoute, overview, resting


class Command(BaseCommand):
    help = "Show what waits by state, reason, recipients' domain and organisation, and the oldest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        demand_role(database.RELAY)
        now = clock.now()
        seen, routes = overview(now), resting(now)
        if options["json"]:
            plain = seen.as_dict() | {"resting": [route.as_dict() for route in routes]}
            self.stdout.write(json.dumps(plain, indent=1))
        else:
            self.stdout.write("\n".join([_text(seen), *map(_rest, routes)]))


def _rest(route: RestingRoute) -> str:
    return (
        f"{route.organisation_id}  route {route.route_id} rests until "
        f"{route.rest_until:%Y-%m-%d %H:%M:%S} UTC after {route.failures} failures"
    )


def _text(seen: Overview) -> str:
    lines = [f"waiting {seen.waiting}  leased {seen.leased}  due {seen.due}"]
    if seen.oldest_accepted_at:
        lines.append(f"oldest accepted {_instant(seen.oldest_accepted_at)}")
    for title, parts in (
        ("state", seen.states),
        ("reason", seen.reasons),
        ("to domain", seen.domains),
    ):
        lines += ["", title, *(_line(name, part) for name, part in parts.items())]
    lines += ["", "organisation"]
    lines += [
        f"{one.organisation_id}  waiting {one.waiting}  due {one.due}  "
        f"oldest {_instant(one.oldest_accepted_at)}"
        for one in seen.organisations
    ]
    return "\n".join(lines)


def _line(name: str, part: Part) -> str:
    return f"  {name or '-':<30} {part.waiting:>9}  oldest {_instant(part.oldest_accepted_at)}"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
