# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tests of the room of the same name."""

from __future__ import annotations
