# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import csv
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import override

from gdpr.listing import Line, lines, records


class Command(BaseCommand):
    help = "Print every field and store with purpose, basis, period, subject and erasure."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=["table", "json", "csv"], default="table")
        parser.add_argument("--language", choices=["da", "en"], default="en")

    def handle(self, *args: Any, **options: Any) -> None:
        with override(options["language"]):
            {"table": self._table, "json": self._json, "csv": self._csv}[options["format"]]()

    def _table(self) -> None:
        place = ""
        for line in lines():
            if line.place != place:
                place = line.place
                self.stdout.write(f"\n{place}" + (f"  kept {line.kept}" if line.kept else ""))
            mark = "*" if line.personal else " "
            self.stdout.write(f"  {mark} {line.field:<24} {line.what}")

    def _json(self) -> None:
        self.stdout.write(json.dumps(records(), ensure_ascii=False, indent=1))

    def _csv(self) -> None:
        writer = csv.DictWriter(self.stdout, fieldnames=[*Line.__dataclass_fields__])
        writer.writeheader()
        writer.writerows(records())
