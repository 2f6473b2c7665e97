# SPDX-License-Identifier: AGPL-3.0-or-later
"""The SQL of the search in the log: which rows are gone through, and how each is judged.

One condition drives, by an index that gives the newest first; the others are asked of each row that
it gives, of a bounded number of them. Equality and ranges only: under row-level security the
planner takes nothing to an index that is not leakproof, and LIKE is not.
"""

from __future__ import annotations

from dataclasses import dataclass

# The last row comes as well, found or not: its number says how many were gone through.
# Each asks one partition at a time, by its primary key. The LIMIT keeps the planner from turning
# the question round and reading the whole log for it.
FRAME = """
SELECT accepted_at, id, number, found IS TRUE FROM (
    SELECT driven.*, (NOT %(judges_message)s OR (
        SELECT true FROM relay_message m WHERE m.organisation_id = %(organisation)s
            AND m.accepted_at = driven.accepted_at AND m.id = driven.id
            AND m.accepted_at >= %(since)s AND m.accepted_at <= %(at)s
            AND m.sender ~>=~ %(sender)s AND m.sender ~<~ %(sender_beyond)s
            AND (%(credential)s::uuid IS NULL OR m.credential_id = %(credential)s::uuid) LIMIT 1
    )) AND (NOT %(judges_delivery)s OR (
        SELECT true FROM relay_delivery d WHERE d.organisation_id = %(organisation)s
            AND d.accepted_at = driven.accepted_at AND d.message_id = driven.id
            AND d.accepted_at >= %(since)s AND d.accepted_at <= %(at)s
            AND d.recipient ~>=~ %(recipient)s AND d.recipient ~<~ %(recipient_beyond)s
            AND (%(state)s = '' OR d.state = %(state)s)
            AND (%(mark)s <> 'possible_duplicate' OR d.possible_duplicate)
            AND (%(mark)s <> 'returned' OR d.final_reason = 'returned') LIMIT 1
    )) AS found FROM (
        SELECT accepted_at, id, row_number() OVER in_order AS number,
            lead(id) OVER in_order IS NULL AS is_last
        FROM ({driver} ORDER BY accepted_at DESC, id DESC LIMIT %(most)s) newest
        WINDOW in_order AS (ORDER BY accepted_at DESC, id DESC)
    ) driven
) judged
WHERE found OR is_last ORDER BY accepted_at DESC, id DESC LIMIT %(size)s
"""
COUNT = "SELECT count(*) FROM ({rows} LIMIT %(few)s) rows"

# Whose rows, and which part of them is still to be looked at.
WITHIN = {
    "messages": """relay_message
WHERE organisation_id = %(organisation)s AND accepted_at >= %(since)s AND accepted_at <= %(at)s
    AND (accepted_at, id) < (%(at)s, %(id)s)""",
    "recipients": """
WHERE organisation_id = %(organisation)s AND accepted_at >= %(since)s AND accepted_at <= %(at)s
    AND (accepted_at, message_id) < (%(at)s, %(id)s)""",
}


@dataclass(frozen=True, slots=True)
class Driver:
    """Which rows are gone through, and what of a search need not be asked of them any more."""

    rows: str
    settles: frozenset[str]
    # What the rows are chosen from, where that has to be a few.
    chosen_from: str = ""

    @property
    def statement(self) -> str:
        return FRAME.format(driver=self._filled(self.rows))

    @property
    def count(self) -> str:
        """The statement that counts what there is to go through, up to %(few)s."""
        return COUNT.format(rows=self._filled(self.chosen_from))

    def _filled(self, rows: str) -> str:
        return rows.format(**WITHIN, chosen_from=self.chosen_from.format(**WITHIN))


SENDER, RECIPIENT = frozenset({"sender"}), frozenset({"recipient"})
STATE, CREDENTIAL, MARK = frozenset({"state"}), frozenset({"credential"}), frozenset({"mark"})

WALK = Driver("SELECT accepted_at, id FROM {messages}", frozenset())
BY_MESSAGE_ID = Driver(
    "SELECT accepted_at, id FROM {messages} AND header_hash = %(header_hash)s", frozenset()
)
BY_CREDENTIAL = Driver(
    "SELECT accepted_at, id FROM {messages} AND credential_id = %(credential)s", CREDENTIAL
)
BY_SENDER = Driver("SELECT accepted_at, id FROM {messages} AND sender = %(sender)s", SENDER)
# A message may have the same recipient, or the same end, more than once.
BY_RECIPIENT = Driver(
    """
SELECT DISTINCT accepted_at, message_id AS id FROM relay_delivery {recipients}
    AND recipient = %(recipient)s
""",
    RECIPIENT,
)
BY_ENDING = Driver(
    """
SELECT DISTINCT accepted_at, message_id AS id FROM relay_ending {recipients}
    AND state = %(ending)s
""",
    STATE,
)
# Few may have arrived twice: they have an index of their own.
BY_DUPLICATE = Driver(
    """
SELECT DISTINCT accepted_at, message_id AS id FROM relay_delivery {recipients}
    AND possible_duplicate
""",
    MARK,
)
# What waits stands in the queue, and nothing else does.
BY_WAITING = Driver(
    "SELECT DISTINCT accepted_at, message_id AS id FROM relay_queueddelivery {recipients}", STATE
)
# These come in the order of what they begin with, so all of them are sorted: a few. Found first
# and sorted then, or the order wanted would tempt the planner to walk the whole log for it.
A_FEW = "SELECT DISTINCT accepted_at, id FROM ({chosen_from} LIMIT %(few)s) few"
SENDER_BEGINS = Driver(
    A_FEW,
    SENDER,
    """
SELECT accepted_at, id FROM {messages}
    AND sender ~>=~ %(sender)s AND sender ~<~ %(sender_beyond)s
""",
)
RECIPIENT_BEGINS = Driver(
    A_FEW,
    RECIPIENT,
    """
SELECT accepted_at, message_id AS id FROM relay_delivery {recipients}
    AND recipient ~>=~ %(recipient)s AND recipient ~<~ %(recipient_beyond)s
""",
)
