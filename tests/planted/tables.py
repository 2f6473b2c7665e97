# SPDX-License-Identifier: AGPL-3.0-or-later
"""All planted faults, and all traps."""

from __future__ import annotations

from tests.planted import (
    bounces,
    consenting,
    correspondents,
    directly,
    duties,
    enquiries,
    holding,
    letters,
    logs,
    persons,
    policy,
    providers,
    queue,
    receiving,
    requests,
    restricting,
    sending,
    signing,
    takeout,
)

FAULTS = (
    *receiving.FAULTS,
    *policy.FAULTS,
    *queue.FAULTS,
    *sending.FAULTS,
    *providers.FAULTS,
    *signing.FAULTS,
    *bounces.FAULTS,
    *logs.FAULTS,
    *directly.FAULTS,
    *restricting.FAULTS,
    *persons.FAULTS,
    *letters.FAULTS,
    *correspondents.FAULTS,
    *holding.FAULTS,
    *duties.FAULTS,
    *requests.FAULTS,
    *enquiries.FAULTS,
    *takeout.FAULTS,
    *consenting.FAULTS,
)
