# SPDX-License-Identifier: AGPL-3.0-or-later
"""What comes to return paths: reports, and what is none. All of it written for these tests."""

from __future__ import annotations
