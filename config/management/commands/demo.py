# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from config.demo.journey import travel
from config.demo.preparation import prepare
from config.demo.steps import Journey
from config.stack.state import write_private

FACTS = settings.BASE_DIR / "var" / "demo.json"


class Command(BaseCommand):
    help = "Do the main job once, visibly, on the running stack (development)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--prepare", action="store_true", help="only make the demo's data")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["prepare"]:
            self._prepare()
        else:
            self._travel()

    def _travel(self) -> None:
        journey = Journey(root=settings.BASE_DIR, facts=_known())
        held = travel(journey, self.stdout.write)
        _write(journey.facts)
        if not held:
            raise CommandError("A step of the demo did not hold.")

    def _prepare(self) -> None:
        known = _known()
        _write(known | prepare(known, clock.now()))


def _write(facts: dict[str, Any]) -> None:
    write_private(FACTS, json.dumps(facts, indent=1) + "\n")


def _known() -> dict[str, Any]:
    return json.loads(FACTS.read_text()) if FACTS.exists() else {}
