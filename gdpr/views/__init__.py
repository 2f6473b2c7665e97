# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of duties: a person's own requests."""

from __future__ import annotations
