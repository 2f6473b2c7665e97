# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DpaConfig(AppConfig):
    name = "dpa"
    verbose_name = _("Agreements")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("dpa.checks")
