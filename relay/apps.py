# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class RelayConfig(AppConfig):
    name = "relay"
    verbose_name = _("Relay")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("relay.checks")
        post_migrate.connect(_prepare_log, sender=self)


def _prepare_log(**_kwargs: Any) -> None:
    # The models are not there yet when Django imports this module.
    from relay.partitions import prepare_log  # noqa: PLC0415 - see above

    prepare_log()
