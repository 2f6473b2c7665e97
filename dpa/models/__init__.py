# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from dpa.models.agreements import Agreement, AgreementEvent, Document, OfferedText, Signatory

__all__ = ["Agreement", "AgreementEvent", "Document", "OfferedText", "Signatory"]
