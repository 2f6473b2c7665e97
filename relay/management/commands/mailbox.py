# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import ssl
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand

from relay.mailbox.server import run


class Command(BaseCommand):
    help = "Run the development mailbox: an SMTP server that keeps all mail as Maildir."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.MAILBOX_PORT)
        parser.add_argument("--maildir", type=Path, default=settings.BASE_DIR / "var" / "mailbox")

    def handle(self, *args: Any, **options: Any) -> None:
        tls = None
        if settings.SMTP_TLS_CERT:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(settings.SMTP_TLS_CERT, settings.SMTP_TLS_KEY or None)
        uvloop.run(run(options["maildir"], options["host"], options["port"], tls))
