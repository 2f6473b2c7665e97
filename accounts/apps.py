# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from accounts.rotation import SealedColumn


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default_auto_field = "django.db.models.BigAutoField"

    sealed_columns: ClassVar[tuple[SealedColumn, ...]] = (
        SealedColumn(
            "accounts.OrganisationKey", "sealed", prefix="organisation-key", by="organisation_id"
        ),
        SealedColumn("accounts.TOTPDevice", "sealed_key", prefix="totp", by="user_id"),
        SealedColumn("accounts.OutgoingMail", "sealed", prefix="outgoing-mail", by="id"),
    )

    def ready(self) -> None:
        import_module("accounts.checks")
        post_migrate.connect(_prepare_audit, sender=self)


def _prepare_audit(**_kwargs: Any) -> None:
    # The models are not there yet when Django imports this module.
    from accounts.audit import prepare  # noqa: PLC0415

    prepare()
