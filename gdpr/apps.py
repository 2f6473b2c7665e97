# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from accounts.rotation import SealedColumn


class GdprConfig(AppConfig):
    name = "gdpr"
    verbose_name = _("Duties")
    default_auto_field = "django.db.models.BigAutoField"

    sealed_columns: ClassVar[tuple[SealedColumn, ...]] = (
        SealedColumn("gdpr.Claim", "sealed", prefix="claim", by="request_id"),
        SealedColumn("gdpr.ErasureSubject", "sealed", prefix="erasure", by="erasure_id"),
        SealedColumn("gdpr.Enquiry", "sealed", prefix="enquiry", by="id"),
        SealedColumn("gdpr.Letter", "sealed_draft", prefix="letter-draft", by="id"),
        SealedColumn("gdpr.Letter", "sealed", prefix="letter", by="id"),
        SealedColumn("gdpr.Package", "sealed_key", prefix="package", by="id"),
    )

    def ready(self) -> None:
        import_module("gdpr.checks")
        import_module("gdpr.letters.checks")
        import_module("gdpr.sealwatch")
