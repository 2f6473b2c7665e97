# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose mail an act is about: one address, in one organisation, up to one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID

from gdpr import inventory
from gdpr.correspondents import addresses
from gdpr.registry import Entry, Role, Whose
from gdpr.scan import Sought, Within
from gdpr.subjects import Subject

# The tables of the log: found by its own indexes (log.py), because they are large.
LOG = frozenset(
    {
        "relay.Message",
        "relay.Delivery",
        "relay.Attempt",
        "relay.Report",
        "relay.Ending",
        "relay.MessageHeader",
    }
)

# The acts themselves: what they hold of an address goes with their own end.
OWN = frozenset({"gdpr.AddressErasure", "gdpr.AddressPackage"})


@dataclass(frozen=True, kw_only=True)
class Correspondent:
    """`address` is canonical (addresses.py). Mail accepted after `until` is left alone."""

    organisation_id: UUID
    address: str = field(repr=False)
    until: datetime

    @cached_property
    def written(self) -> tuple[str, ...]:
        return addresses.written(self.address)

    @property
    def subjects(self) -> list[Subject]:
        """Return the address as the inventory's paths compare it, once for each spelling."""
        whose = Whose.CORRESPONDENT
        return [Subject(whose=whose, address=spelling) for spelling in self.written]

    @property
    def sought(self) -> Sought:
        """Return what a scan looks for."""
        first, *others = self.written
        return Sought(person_id=None, address=first, also=tuple(others))

    @property
    def within(self) -> Within:
        return Within(self.organisation_id, self.until)


def entries() -> list[Entry]:
    """Return the tables with what customers' mail has of an address: those they decide on."""
    found = inventory.entries_about(Whose.CORRESPONDENT)
    return [entry for entry in found if entry.role is Role.PROCESSOR]


def other_entries() -> list[Entry]:
    """Return those of them that are neither the log's nor rows of these acts."""
    return [entry for entry in entries() if entry.model not in LOG | OWN]
