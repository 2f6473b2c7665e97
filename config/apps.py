# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        # A page that wakes the worker needs the application too, or it calls a broker of nobody's.
        import_module("config.celery")
