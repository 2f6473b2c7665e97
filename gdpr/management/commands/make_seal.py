# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts import clock
from gdpr import sealkeys


class Command(BaseCommand):
    help = "Make the authority that certifies signatures, if there is none, and a new seal."

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        sealkeys.make_keys(now)
        for expiry in sealkeys.expiries(now):
            self.stdout.write(f"{expiry.name}: good until {expiry.not_after:%Y-%m-%d}")
