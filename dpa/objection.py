# SPDX-License-Identifier: AGPL-3.0-or-later
"""How early customers are told of a new sub-processor, so that they can object (article 28(2))."""

from __future__ import annotations

from datetime import date, timedelta

from dpa.models import Agreement


def earliest_start(on: date) -> date | None:
    """Return the first day for one of which customers are told on a day; None without customers.

    The agreements in force decide, not what new ones would say. Role `staff` or `duty`: the rows
    of all customers.
    """
    agreed = Agreement.objects.filter(state=Agreement.State.IN_FORCE)
    days = agreed.values_list("facts__periods__objection_days", flat=True)
    longest = max(days.distinct(), default=None)
    return None if longest is None else on + timedelta(days=longest)
