# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second ledger, and the comparison of all three."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.storm.client import Ledger
from tests.storm.farend import Copy, Cut

RECLAIM_BAR = 120.0
# The trace header that the service puts in front names the message by its id.
QUEUE_ID = re.compile(rb"\bid ([0-9a-fA-F]{8}-[0-9a-fA-F-]{27})\b")
TRACE = re.compile(rb"(?:Received|Return-Path):")

OURS = """
SELECT message_id::text, bool_or(possible_duplicate), bool_and(state = 'delivered'), count(*)
FROM relay_delivery GROUP BY message_id
"""
LEFT = """
SELECT (SELECT count(*) FROM relay_queueddelivery),
    (SELECT count(*) FROM relay_queueddelivery WHERE due_at IS NULL),
    (SELECT count(*) FROM relay_content),
    (SELECT count(*) FROM relay_delivery d WHERE state = 'waiting' AND NOT EXISTS (
        SELECT FROM relay_queueddelivery q
        WHERE q.message_id = d.message_id AND q.position = d.position)),
    (SELECT count(*) FROM relay_message WHERE content_destroyed_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class Ours:
    """What the database says; `messages` maps id to (possible duplicate, delivered)."""

    messages: dict[str, tuple[bool, bool]]
    waiting: int
    without_due_time: int
    content_rows: int
    stranded: int
    content_not_destroyed: int


def read_ours(url: str) -> Ours:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(OURS).fetchall()
        left = connection.execute(LEFT).fetchone()
    assert left is not None
    return Ours({row[0]: (row[1], row[2]) for row in rows}, *left)


@dataclass(slots=True)
class Verdict:
    """Figures, the sentences about what does not hold, and a line for each strike."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    strikes: list[str] = field(default_factory=list)

    def must_be(self, name: str, value: float, most: float = 0) -> None:
        self.figures[name] = value
        if value > most:
            self.broken.append(f"{name} is {value}, at most {most} allowed")


def compare(
    client: Ledger, ours: Ours, copies: list[Copy], in_flight: int, cuts: Sequence[Cut] = ()
) -> Verdict:
    """Judge at the far end: what was accepted lies there, once, unaltered, and nothing else.

    `copies` in the order of their arrival.
    """
    verdict = Verdict({"submitted": len(client.submitted), "accepted": len(client.accepted_at)})
    arrived = {copy.mark for copy in copies}
    verdict.must_be("lost", len(client.accepted_at.keys() - arrived))
    verdict.must_be("phantom", sum(copy.mark not in client.submitted for copy in copies))
    verdict.must_be("altered", sum(_altered(copy, client) for copy in copies))
    verdict.must_be("never accepted", len(client.submitted) - len(client.accepted_at))
    _judge_copies(verdict, client, ours, copies)
    _judge_duplicates(verdict, ours, copies, in_flight, cuts)
    _judge_rows(verdict, ours, copies)
    _judge_replies(verdict, client)
    return verdict


def _altered(copy: Copy, client: Ledger) -> bool:
    sent = client.submitted.get(copy.mark)
    if sent is None:
        return False
    trace = copy.content[: len(copy.content) - len(sent)]
    lines = re.sub(rb"\r\n[ \t]+", b" ", trace).splitlines()
    return not copy.content.endswith(sent) or not all(TRACE.match(line) for line in lines)


def _judge_copies(verdict: Verdict, client: Ledger, ours: Ours, copies: list[Copy]) -> None:
    """What was accepted twice needs a client that was unsure."""
    ids_of: defaultdict[str, set[str]] = defaultdict(set)
    for copy in copies:
        ids_of[copy.mark].add(_queue_id(copy))
    verdict.figures["flagged"] = sum(flag for flag, _ in ours.messages.values())
    verdict.figures["accepted twice"] = sum(len(ids) - 1 for ids in ids_of.values())
    unasked = sum(max(0, len(ids) - 1 - client.uncertain[m]) for m, ids in ids_of.items())
    verdict.must_be("accepted twice without a retry", unasked)


def _judge_duplicates(
    verdict: Verdict, ours: Ours, copies: list[Copy], in_flight: int, cuts: Sequence[Cut]
) -> None:
    """Each copy but a message's last needs a strike that made its acknowledgement ambiguous.

    So one ambiguous acknowledgement costs one extra copy at most, and a message that met two of
    them may lie there three times (docs/adr/0006).
    """
    by_id: defaultdict[str, list[Copy]] = defaultdict(list)
    for copy in copies:
        by_id[_queue_id(copy)].append(copy)
    again = {name: found[:-1] for name, found in by_id.items() if len(found) > 1}
    earlier = [copy for found in again.values() for copy in found]
    verdict.figures["in flight at the strikes"] = in_flight
    verdict.must_be("duplicates", len(earlier), in_flight)
    certain = [copy for copy in earlier if not any(copy.met(cut) for cut in cuts)]
    verdict.must_be("duplicates of a certain delivery", len(certain))
    verdict.figures["most copies of one"] = max(map(len, by_id.values()), default=0)
    unflagged = [name for name in again if not ours.messages.get(name, (False, False))[0]]
    verdict.must_be("duplicates not flagged", len(unflagged))


def _queue_id(copy: Copy) -> str:
    found = QUEUE_ID.search(copy.content)
    return found[1].decode().lower() if found else copy.mark


def _judge_rows(verdict: Verdict, ours: Ours, copies: list[Copy]) -> None:
    arrived = {_queue_id(copy) for copy in copies}
    verdict.must_be("waiting at the end", ours.waiting)
    verdict.must_be("without a due time", ours.without_due_time)
    verdict.must_be("neither final nor waiting", ours.stranded)
    verdict.must_be("content rows at the end", ours.content_rows)
    verdict.must_be("content not destroyed", ours.content_not_destroyed)
    claimed = {name for name, (_, delivered) in ours.messages.items() if delivered}
    verdict.must_be("called delivered, not at the far end", len(claimed - arrived))
    verdict.must_be("at the far end, not called delivered", len(arrived - claimed))


def _judge_replies(verdict: Verdict, client: Ledger) -> None:
    """During a fault only "try again" is a right answer: 451, 421, or no answer at all."""
    verdict.figures["refusals"] = dict(sorted(client.refusals.items()))
    verdict.figures["client retries"] = client.retries
    verdict.must_be("5xx replies", sum(n for code, n in client.refusals.items() if code >= 500))
