# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second ledger, and the comparison of all three."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg

from relay.smtp.schedule import JITTER, STEPS
from tests.storm.client import NEVER, Ledger, Letter
from tests.storm.farend import ANY_ROUTE, MARK, Copy, Cut

RECLAIM_BAR = 120.0
TRACE = re.compile(rb"(?:Received|Return-Path):")
FAILED = re.compile(rb"^Action: failed", re.MULTILINE)
# A step may be so much shorter or longer than it and its jitter say (docs: security.md F7).
TOLERANCE = 0.1
# The shortest step of the schedule less its jitter and the tolerance.
SHORTEST = STEPS[0].total_seconds() * (1 - JITTER) * (1 - TOLERANCE)
# Claims are made each second, and the clock of a storm moves in steps.
SLACK = 12.0

OURS = """
SELECT d.message_id::text, d.recipient, d.possible_duplicate, d.state, m.is_sandbox,
    m.is_notification, (SELECT count(*) FROM relay_attempt a WHERE a.accepted_at = d.accepted_at
        AND a.message_id = d.message_id AND a.position = d.position)
FROM relay_delivery d JOIN relay_message m ON m.accepted_at = d.accepted_at AND m.id = d.message_id
"""
# The last try of a lifetime falls on its end, however short a step that makes.
ATTEMPTS = """
SELECT a.message_id::text || '.' || a.position, a.number,
    extract(epoch FROM a.started_at)::float8, extract(epoch FROM a.finished_at)::float8
FROM relay_attempt a JOIN relay_delivery d ON d.accepted_at = a.accepted_at
    AND d.message_id = a.message_id AND d.position = a.position
WHERE d.state <> 'expired' OR EXISTS (SELECT FROM relay_attempt later
    WHERE later.accepted_at = a.accepted_at AND later.message_id = a.message_id
        AND later.position = a.position AND later.number > a.number)
ORDER BY a.message_id, a.position, a.number
"""
LEFT = """
SELECT (SELECT count(*) FROM relay_queueddelivery),
    (SELECT count(*) FROM relay_queueddelivery WHERE due_at IS NULL),
    (SELECT count(*) FROM relay_content),
    (SELECT count(*) FROM relay_delivery d WHERE state = 'waiting' AND NOT EXISTS (
        SELECT FROM relay_queueddelivery q
        WHERE q.message_id = d.message_id AND q.position = d.position)),
    (SELECT count(*) FROM relay_message WHERE content_destroyed_at IS NULL),
    (SELECT abs(c.messages - m.messages) + abs(c.accepted - d.accepted)
        + abs(c.delivered - d.delivered) + abs(c.bounced - d.bounced) + abs(c.expired - d.expired)
        + abs(c.cancelled - d.cancelled) + abs(c.sandboxed - d.sandboxed)
    FROM (SELECT coalesce(sum(messages), 0) AS messages, coalesce(sum(accepted), 0) AS accepted,
            coalesce(sum(delivered), 0) AS delivered, coalesce(sum(expired), 0) AS expired,
            coalesce(sum(bounced_hard + bounced_soft + blocked), 0) AS bounced,
            coalesce(sum(cancelled), 0) AS cancelled, coalesce(sum(sandboxed), 0) AS sandboxed
        FROM relay_count) c
    CROSS JOIN (SELECT count(*) AS messages FROM relay_message) m
    CROSS JOIN (SELECT count(*) AS accepted,
            count(*) FILTER (WHERE state = 'delivered' OR final_reason = 'returned') AS delivered,
            count(*) FILTER (WHERE state = 'bounced' AND final_reason <> 'returned') AS bounced,
            count(*) FILTER (WHERE state = 'expired') AS expired,
            count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE state = 'sandboxed') AS sandboxed
        FROM relay_delivery) d)::int
"""

Key = tuple[str, str]  # queue id and recipient


@dataclass(frozen=True, slots=True)
class Row:
    """What the log says of one delivery."""

    is_duplicate: bool
    state: str
    is_sandbox: bool = False
    is_notice: bool = False
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Ours:
    """What the database says; `gaps` are (number of the try, seconds until the next)."""

    rows: Mapping[Key, Row]
    gaps: Sequence[tuple[int, float]] = ()
    waiting: int = 0
    without_due_time: int = 0
    content_rows: int = 0
    stranded: int = 0
    content_not_destroyed: int = 0
    miscounted: int = 0  # by how much the figures differ from the log


def read_ours(url: str, put_back: Sequence[float] = ()) -> Ours:
    """Read the database; a clock that was `put_back` between two tries says nothing of the gap."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(OURS).fetchall()
        left = connection.execute(LEFT).fetchone()
        attempts = connection.execute(ATTEMPTS).fetchall()
    assert left is not None
    found = {(row[0], row[1]): Row(*row[2:]) for row in rows}
    return Ours(found, tuple(gaps_between(attempts, put_back)), *left)


def gaps_between(
    attempts: Sequence[tuple[str, int, float, float]], put_back: Sequence[float]
) -> Iterator[tuple[int, float]]:
    for (name, number, _, finished), (other, _, started, _) in pairwise(attempts):
        if name == other and not any(finished <= at <= started for at in put_back):
            yield number, started - finished


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the strikes make possible. `cuts` in which transactions could be cut off, `in_flight`
    of how many; whether waiting mail may have come to its end (`ends`), and tries may be late.
    """

    cuts: Sequence[Cut] = ()
    in_flight: int = 0
    ends: bool = False
    late: bool = True


def compare(client: Ledger, ours: Ours, copies: list[Copy], allowed: Allowed) -> Verdict:
    """Judge at the far end: what was accepted lies there, once, unaltered, and nothing else.

    `copies` in the order of their arrival.
    """
    verdict = Verdict({"submitted": len(client.submitted), "accepted": len(client.accepted_at)})
    mail = [copy for copy in copies if not copy.is_notice]
    notices = [copy for copy in copies if copy.is_notice]
    _judge_losses(verdict, client, mail, _told(notices), allowed)
    _judge_ends(verdict, client, ours, _told(notices))
    _judge_letters(verdict, client, mail)
    _judge_copies(verdict, client, ours, mail)
    _judge_duplicates(verdict, ours, copies, allowed)
    _judge_rows(verdict, ours, copies, allowed)
    _judge_schedule(verdict, ours, allowed)
    _judge_replies(verdict, client)
    return verdict


def _told(notices: list[Copy]) -> set[str]:
    """The marks of mail whose sender was told of its end: notices carry headers (RFC 3462 §2)."""
    failed = [copy.content for copy in notices if FAILED.search(copy.content)]
    return {found.decode() for content in failed for found in MARK.findall(content)[1:]}


def _judge_losses(
    verdict: Verdict, client: Ledger, mail: list[Copy], told: set[str], allowed: Allowed
) -> None:
    arrived = {(copy.mark, copy.recipient) for copy in mail}
    missing = {
        mark
        for mark in client.accepted_at
        for recipient in client.submitted[mark].recipients
        if _is_due(client.submitted[mark]) and (mark, recipient) not in arrived
    }
    verdict.must_be("lost", len(missing - told))
    ended = len(missing & told)
    verdict.must_be("told that it failed", ended, ended if allowed.ends else 0)


def _is_due(letter: Letter) -> bool:
    """Whether it has to arrive."""
    return not (letter.is_poison or letter.is_never or letter.sign_in.is_sandbox)


def _judge_ends(verdict: Verdict, client: Ledger, ours: Ours, told: set[str]) -> None:
    """What may pass never ends mail; where none can go ever, its first try does (F8)."""
    never = [row for (_, to), row in ours.rows.items() if to.endswith(NEVER)]
    late = sum((row.state, row.tries) != ("bounced", 1) for row in never)
    verdict.must_be("not ended at the first try", late)
    bounced = sum(row.state == "bounced" for row in ours.rows.values())
    verdict.must_be("ended without need", bounced - sum(row.state == "bounced" for row in never))
    hopeless = {mark for mark in client.accepted_at if client.submitted[mark].is_never}
    verdict.must_be("ended and nobody told", len(hopeless - told))


def _judge_letters(verdict: Verdict, client: Ledger, mail: list[Copy]) -> None:
    known = [(copy, client.submitted[copy.mark]) for copy in mail if copy.mark in client.submitted]
    strange = sum(copy.recipient not in letter.recipients for copy, letter in known)
    verdict.must_be("phantom", len(mail) - len(known) + strange)
    verdict.must_be("altered", sum(_altered(copy, letter.content) for copy, letter in known))
    verdict.must_be("left the sandbox", sum(one.sign_in.is_sandbox for _, one in known))
    strangers = sum(c.route not in (ANY_ROUTE, letter.sign_in.route) for c, letter in known)
    verdict.must_be("over another organisation's route", strangers)
    verdict.must_be("never accepted", len(client.submitted) - len(client.accepted_at))


def _altered(copy: Copy, sent: bytes) -> bool:
    if copy.is_rebuilt:
        return copy.content.partition(b"\r\n\r\n")[2] != sent.partition(b"\r\n\r\n")[2]
    trace = copy.content[: len(copy.content) - len(sent)]
    lines = re.sub(rb"\r\n[ \t]+", b" ", trace).splitlines()
    return not copy.content.endswith(sent) or not all(TRACE.match(line) for line in lines)


def _judge_copies(verdict: Verdict, client: Ledger, ours: Ours, mail: list[Copy]) -> None:
    """What was accepted twice needs a client that was unsure."""
    ids_of: defaultdict[str, set[str]] = defaultdict(set)
    for copy in mail:
        ids_of[copy.mark].add(copy.queue_id)
    verdict.figures["flagged"] = sum(row.is_duplicate for row in ours.rows.values())
    verdict.figures["accepted twice"] = sum(len(ids) - 1 for ids in ids_of.values())
    unasked = sum(max(0, len(ids) - 1 - client.uncertain[m]) for m, ids in ids_of.items())
    verdict.must_be("accepted twice without a retry", unasked)


def _judge_duplicates(verdict: Verdict, ours: Ours, copies: list[Copy], allowed: Allowed) -> None:
    """Each copy but a delivery's last needs a strike that made its acknowledgement ambiguous.

    So one ambiguous acknowledgement costs one extra copy at most, and a message that met two of
    them may lie there three times (docs/adr/0006).
    """
    by_key: defaultdict[Key, list[Copy]] = defaultdict(list)
    for copy in copies:
        # A notice has no trace of ours, but an id of its own.
        name = copy.mark if copy.is_notice else copy.queue_id
        by_key[name, copy.recipient].append(copy)
    again = {key: found[:-1] for key, found in by_key.items() if len(found) > 1}
    earlier = [copy for found in again.values() for copy in found]
    transactions = {(copy.mark, copy.begun_at) for copy in earlier}
    verdict.figures["in flight at the strikes"] = allowed.in_flight
    verdict.must_be("duplicates", len(transactions), allowed.in_flight)
    certain = [copy for copy in earlier if not any(copy.met(cut) for cut in allowed.cuts)]
    verdict.must_be("duplicates of a certain delivery", len(certain))
    verdict.figures["most copies of one"] = max(map(len, by_key.values()), default=0)
    nothing = Row(False, "")
    mail = [key for key, found in again.items() if not found[0].is_notice]
    unflagged = [key for key in mail if not ours.rows.get(key, nothing).is_duplicate]
    verdict.must_be("duplicates not flagged", len(unflagged))


def _judge_rows(verdict: Verdict, ours: Ours, copies: list[Copy], allowed: Allowed) -> None:
    arrived = {(c.queue_id, c.recipient) for c in copies if not c.is_notice}
    notices = {copy.mark for copy in copies if copy.is_notice}
    verdict.must_be("waiting at the end", ours.waiting)
    verdict.must_be("without a due time", ours.without_due_time)
    verdict.must_be("neither final nor waiting", ours.stranded)
    verdict.must_be("content rows at the end", ours.content_rows)
    verdict.must_be("content not destroyed", ours.content_not_destroyed)
    verdict.must_be("figures that differ from the log", ours.miscounted)
    delivered = {key: row for key, row in ours.rows.items() if row.state == "delivered"}
    claimed = {key for key, row in delivered.items() if not row.is_notice}
    verdict.must_be("notices not at the far end", len(delivered) - len(claimed) - len(notices))
    verdict.must_be("called delivered, not at the far end", len(claimed - arrived))
    # Mail whose dot was under way when its lifetime ended: the log says that it may have arrived.
    maybe = {k for k, row in ours.rows.items() if allowed.ends and row.is_duplicate}
    verdict.must_be("at the far end, not called delivered", len(arrived - claimed - maybe))
    played = [row.state for row in ours.rows.values() if row.is_sandbox]
    verdict.must_be("of the sandbox, not called so", sum(s != "sandboxed" for s in played))


def _judge_schedule(verdict: Verdict, ours: Ours, allowed: Allowed) -> None:
    """Tries follow the schedule (relay/smtp/schedule.py); late ones where nothing held them up."""
    early = sum(gap < _step(number) * (1 - JITTER) * (1 - TOLERANCE) for number, gap in ours.gaps)
    late = sum(
        gap > _step(number) * (1 + JITTER) * (1 + TOLERANCE) + SLACK for number, gap in ours.gaps
    )
    verdict.figures["tries again"] = len(ours.gaps)
    verdict.must_be("tries too early", early)
    verdict.must_be("tries too late", late, late if allowed.late else 0)


def _step(number: int) -> float:
    return STEPS[min(number, len(STEPS)) - 1].total_seconds()


def _judge_replies(verdict: Verdict, client: Ledger) -> None:
    """During a fault only "try again" is a right answer: 451, 421, or no answer at all."""
    verdict.figures["refusals"] = dict(sorted(client.refusals.items()))
    verdict.figures["client retries"] = client.retries
    verdict.must_be("5xx replies", sum(n for code, n in client.refusals.items() if code >= 500))
