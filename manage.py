#!/usr/bin/env python
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Django's command line. Each command connects as the database role that its work needs."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

ROLES = {
    "migrate": "owner",
    "makemigrations": "owner",
    "smtpd": "relay",
    "relay_queue": "relay",
    "demo": "duty",
    "promises": "duty",
    "verify_audit": "duty",
    "rotate_keys": "duty",
}


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("DATABASE_ROLE", ROLES.get(command, "web"))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
