# SPDX-License-Identifier: AGPL-3.0-or-later
"""The queue: mail goes in through `Store` and comes out through `Leases`, by commits of batches."""

from __future__ import annotations

from relay.queue.connection import CONNECT_SECONDS, HotConnection, Now, conninfo
from relay.queue.entries import (
    Accepted,
    Ask,
    Claimed,
    Leased,
    Logged,
    Settlement,
    StoreUnavailable,
    Tried,
    Work,
)
from relay.queue.leases import LeaseLost, Leases, Refused, TookTooLong
from relay.queue.sealing import NoOrganisationKey, Sealer, keyring_directory
from relay.queue.statements import LEASE
from relay.queue.store import Store

__all__ = [
    "CONNECT_SECONDS",
    "LEASE",
    "Accepted",
    "Ask",
    "Claimed",
    "HotConnection",
    "LeaseLost",
    "Leased",
    "Leases",
    "Logged",
    "NoOrganisationKey",
    "Now",
    "Refused",
    "Sealer",
    "Settlement",
    "Store",
    "StoreUnavailable",
    "TookTooLong",
    "Tried",
    "Work",
    "conninfo",
    "keyring_directory",
]
