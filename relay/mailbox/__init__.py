# SPDX-License-Identifier: AGPL-3.0-or-later
"""The development mailbox: keeps whatever it is handed, as Maildir. Never for production."""

from __future__ import annotations
