# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is said of a signed document, in words of our own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Trust(StrEnum):
    """What the certificate behind a signature is worth here."""

    TRUSTED = "trusted"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # no authority that this installation trusts


class Coverage(StrEnum):
    """How much of the file, as it is now, the signature spans."""

    WHOLE_FILE = "whole file"
    REVISION = "revision"  # all that there was when it was made; more was appended
    PART = "part"


class Changes(StrEnum):
    """The gravest thing that was appended after the signature."""

    NONE = "none"
    ARCHIVAL = "archival"  # time stamps and evidence for them
    FORM_FILLING = "form filling"  # another signature, in a field that was there
    OTHER = "other"


class Timestamp(StrEnum):
    """Who says when the signature was made."""

    PENDING = "pending"  # only the signer's own clock
    TRUSTED = "trusted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature or document time stamp. `signed_at` is what it claims of itself."""

    field: str
    kind: str  # "signature" or "timestamp"
    signer: str
    organisation: str
    title: str
    signed_at: datetime | None
    certifies: bool
    intact: bool
    trust: Trust
    timestamp: Timestamp
    coverage: Coverage
    changes: Changes
    changes_allowed: bool

    @property
    def sound(self) -> bool:
        """Whether the signature holds: unbroken, trusted, and nothing forbidden came after it."""
        return self.intact and self.trust is Trust.TRUSTED and self.changes_allowed

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Self:
        at = facts["signed_at"]
        return cls(
            **facts
            | {
                "signed_at": datetime.fromisoformat(at) if at else None,
                "trust": Trust(facts["trust"]),
                "timestamp": Timestamp(facts["timestamp"]),
                "coverage": Coverage(facts["coverage"]),
                "changes": Changes(facts["changes"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything about one file. Whether it is the very version on file, its sha256 tells."""

    sha256: str
    readable: bool
    signatures: tuple[Signature, ...] = ()
    awaiting: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there are signatures and every one holds."""
        return bool(self.signatures) and all(found.sound for found in self.signatures)

    def facts(self) -> dict[str, Any]:
        """Return it as JSON knows it; `read` is the way back."""
        facts = asdict(self)
        for signature in facts["signatures"]:
            at = signature["signed_at"]
            signature["signed_at"] = at and at.isoformat()
        return facts

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Self:
        signatures = tuple(Signature.read(signature) for signature in facts["signatures"])
        return cls(**facts | {"signatures": signatures, "awaiting": tuple(facts["awaiting"])})
