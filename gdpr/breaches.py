# SPDX-License-Identifier: AGPL-3.0-or-later
"""Breaches of personal data: how soon who must be told."""

from __future__ import annotations

# A processor tells the controllers concerned without undue delay (GDPR article 33(2)); this is the
# promised limit, counted in hours through nights and weekends from when the breach was known.
NOTICE_HOURS = 24
