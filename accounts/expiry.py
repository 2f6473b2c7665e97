# SPDX-License-Identifier: AGPL-3.0-or-later
"""How long accounts keeps what it forgets by itself. The inventory reads these figures."""

from __future__ import annotations

INVITATION_DAYS = 7
# Once an invitation has run out, its address is kept for a month of questions.
INVITATION_KEPT_DAYS = 30
# A session that has ended opens nothing; its row is gone so soon after.
SESSION_KEPT_HOURS = 2
