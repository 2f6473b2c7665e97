# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages about people and organisations."""

from __future__ import annotations
