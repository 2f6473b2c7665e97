# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from relay import smtpd


class Command(BaseCommand):
    help = "Receive mail over SMTP until SIGTERM; SIGHUP reads the certificate again."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            smtpd.run(self._ready)
        except ImproperlyConfigured as reason:
            raise CommandError(str(reason)) from None
        except OSError as error:
            raise CommandError(f"a port or a file cannot be opened: {error}") from None

    def _ready(self) -> None:
        ports = [settings.SMTP_PORT, settings.SMTPS_PORT]
        if settings.RELAY_BOUNCE_DOMAIN:
            ports.append(settings.BOUNCE_PORT)
        named = ", ".join(map(str, ports))
        self.stdout.write(f"SMTP on {settings.SMTP_HOST}, ports {named}")
        self.stdout.flush()
