# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demonstration: a cast that can be signed in as, and the main job done once, visibly."""

from __future__ import annotations
