# SPDX-License-Identifier: AGPL-3.0-or-later
"""How long accounts keeps what it forgets by itself. The inventory reads these figures."""

from __future__ import annotations

INVITATION_DAYS = 7
# Once an invitation has run out, its address is kept for a month of questions.
INVITATION_KEPT_DAYS = 30
# A session that has ended opens nothing; its row is gone so soon after.
SESSION_KEPT_HOURS = 2
# A consent is proven (GDPR article 7(1)) as long as what was done on it may be complained of:
# databeskyttelsesloven § 41(7).
CONSENT_KEPT_DAYS = 5 * 365 + 1
