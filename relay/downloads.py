# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search in the log as CSV, a line for each recipient, written while it is read.

Each piece has a short transaction of its own: a reader of hours would hold up the day that is to
be dropped, and with it everybody's mail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from threading import Lock
from typing import Self
from uuid import UUID
from weakref import WeakSet

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import limits, masking, spreadsheets
from accounts.refusals import Refused
from accounts.tenancy import organisation_context
from accounts.turns import turn
from relay import log, restricting, search
from relay.log import Place
from relay.models import Credential, Delivery, Message
from relay.search import Search

DOWNLOADS = limits.Limit("log-downloads", ((10, limits.HOUR),))
PIECE = 250  # messages, each with as many recipients as a client may name
MOST = 1_000_000  # lines
# Of use to programs too, so they are not translated.
COLUMNS = (
    "accepted_at", "number", "credential", "sender", "recipient", "recipient_name", "subject",
    "size", "state", "reason", "finished_at", "possible_duplicate", "sandbox",
)  # fmt: skip
# Files of this process. An answer that is lost before it is sent is closed by nobody: its file goes
# from here with it.
_open: WeakSet[File] = WeakSet()
_entrance = Lock()
CUT = "Not all: the file ends here, because it is as long as it may be. Search for fewer days."

# In figures, as columns are: programs read this.
LEFT_OUT = "Not all: what is about restricted addresses is left out. There are {} of them."


class StillRunning(Refused):
    text: Promise = _("A download is being written already. Try again when it is there.")


class NoPlace(Refused):
    text: Promise = _("Others are downloading files just now. Try again in a few minutes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose log, what of it, and whether the reader sees addresses masked.

    `zone` is the one whose days are meant: a file is written when the request has left its own.
    """

    organisation_id: UUID
    search: Search
    masked: bool
    zone: tzinfo = field(default_factory=timezone.get_current_timezone)


class File:
    """Pieces of a file; whoever takes them closes it, also where nobody took any.

    A slow reader holds a thread of the site, so an organisation has one file at a time, and a
    process DOWNLOADS_AT_ONCE.
    """

    def __init__(self, organisation_id: UUID, limit: limits.Limit, found: Iterator[bytes]) -> None:
        """Raises NoPlace, StillRunning, TooMany."""
        self._turn = ExitStack()
        with _entrance:
            if len(_open) >= settings.DOWNLOADS_AT_ONCE:
                raise NoPlace
            _open.add(self)
        try:
            if not self._turn.enter_context(turn(f"download|{organisation_id}")):
                raise StillRunning
            limits.check(limit, str(organisation_id))
        except BaseException:
            self.close()
            raise
        self._pieces = found

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Let the next one begin."""
        _open.discard(self)
        self._turn.close()


class Download(File):
    """A search in the log."""

    def __init__(self, asked: Asked) -> None:
        """Raises NoPlace, StillRunning, TooMany."""
        super().__init__(asked.organisation_id, DOWNLOADS, pieces(asked))


def pieces(asked: Asked) -> Iterator[bytes]:
    """Yield the file, piece by piece, the newest message first; outside any context."""
    yield spreadsheets.MARK + spreadsheets.lines([COLUMNS])
    with organisation_context(asked.organisation_id):
        names = _credentials(asked.organisation_id)
        left_out = restricting.count_left_out(asked.organisation_id)
    before, written = None, 0
    while True:
        with organisation_context(asked.organisation_id), timezone.override(asked.zone):
            found, before = search.places(asked.organisation_id, asked.search, before, PIECE)
            rows = [_cells(asked, names, *row) for row in _rows(asked, found)]
        yield spreadsheets.lines(rows[: MOST - written])
        written += len(rows)
        if written > MOST or (written == MOST and before):
            yield spreadsheets.lines([[CUT]])
            break
        if before is None:
            break
    if left_out:
        yield spreadsheets.lines([[LEFT_OUT.format(left_out)]])


def _credentials(organisation_id: UUID) -> dict[UUID, str]:
    rows = Credential.objects.for_organisation(organisation_id)
    return dict(rows.values_list("id", "name"))


def _rows(asked: Asked, found: list[Place]) -> Iterator[tuple[Message, Delivery]]:
    """Yield the recipients that were searched for, and no other of the same message."""
    messages = search.messages_at(asked.organisation_id, found)
    deliveries = log.deliveries_of(asked.organisation_id, messages)
    for message in messages:
        for delivery in deliveries[message.id]:
            if asked.search.matches(delivery):
                yield message, delivery


def _cells(asked: Asked, names: dict[UUID, str], message: Message, delivery: Delivery) -> list[str]:
    shown = masking.masked if asked.masked else str
    # A name beside a masked address, and a subject, may say whose it is.
    told = ["", ""] if asked.masked else [delivery.display_name, message.subject]
    credential = names.get(message.credential_id, "") if message.credential_id else ""
    texts = [
        _instant(message.accepted_at),
        str(message.id),
        credential,
        shown(message.sender),
        shown(delivery.recipient),
        *told,
        str(message.size),
        delivery.state,
        delivery.final_reason,
        _instant(delivery.finished_at),
        _flag(delivery.possible_duplicate),
        _flag(message.is_sandbox),
    ]
    return [spreadsheets.cell(text) for text in texts]


def _instant(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else ""


def _flag(value: bool) -> str:
    return "yes" if value else ""
