# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reports of strangers, read in a process that holds no secret and cannot take much."""

from __future__ import annotations
