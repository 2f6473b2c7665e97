# SPDX-License-Identifier: AGPL-3.0-or-later
"""The launcher: engines, environment and processes of one checkout. Plain Python, no Django."""

from __future__ import annotations
