# SPDX-License-Identifier: AGPL-3.0-or-later
"""The periods of the agreement: those that the operator's people keep, and those of its expiry."""

from __future__ import annotations

# A change that the law demands takes effect this long after the customer's notice of it.
AMENDMENT_DAYS = 7
# What the operator's people do for a customer on request: early enough that the customer can still
# answer within its own month (GDPR article 12(3)).
ASSISTANCE_DAYS = 10
# From the end of the main agreement to the day when everything is returned or deleted.
DELETION_DAYS = 30
# An agreement is evidence while claims can be made from it: three years (Danish Limitation Act,
# section 3(1)), five for what is punishable (Data Protection Act, section 41); the longer counts.
KEPT_DAYS = 1826
# A version that waits for a signature so long gets none: neither the customer's nor the seal.
UNSEALED_DAYS = 30
# A version that not both have signed binds nobody.
UNSIGNED_KEPT_DAYS = 30
