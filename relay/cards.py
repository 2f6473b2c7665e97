# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the page of a domain shows of each record: what to publish, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from relay import dkimkeys, records
from relay.models import DkimKey, DomainRecord, SendingDomain
from relay.records import Kind, Place, State, Wanted

Rows = dict[Place, DomainRecord]

_WORDS: dict[str, Promise] = {
    "waiting": _("waiting for its record"),
    "signs": _("signs"),
    "retired": _("retired"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A record; `anchor` begins the ids of its elements."""

    anchor: str
    wanted: Wanted
    row: DomainRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """A key with its record.

    `state` is waiting, signs or retired. `until`: how long a retired key's record stays, or how
    long a key goes on whose record is gone.
    """

    key: DkimKey
    record: Shown
    state: str
    until: datetime | None = None

    @property
    def words(self) -> Promise:
        """The state, for people."""
        return _WORDS[self.state]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """All of a domain's records but the one that proves it.

    Without a way back for failures, there is none of `back`, `senders` and `instead`, which is
    what does the same as `back` where no alias may be.
    """

    keys: tuple[ShownKey, ...]
    may_make: bool  # whether new keys can be made: of some kind none waits
    is_old: bool  # whether a key has signed for so long that a new one is due
    policy: Shown
    back: Shown | None = None
    senders: DomainRecord | None = None
    instead: tuple[Shown, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether a key that waits takes the place of one that signs."""
        return any(key.state == "signs" for key in self.keys)


def shown(domain: SendingDomain, now: datetime) -> Cards:
    """Read and arrange what a domain's page shows; open the organisation's context first."""
    rows = {Place(Kind(row.kind), row.key_id): row for row in domain.records.all()}
    keys = [_with_row(domain, key, rows, now) for key in domain.keys.order_by("created_at", "id")]
    waiting = {shown.key.algorithm for shown in keys if shown.state == "waiting"}
    policy, back = records.dmarc(domain), records.return_path(domain)
    instead = records.mail_exchange(domain) if back else ()
    return Cards(
        keys=tuple(sorted(keys, key=lambda shown: list(_WORDS).index(shown.state))),
        may_make=len(waiting) < len(DkimKey.Algorithm.values),
        is_old=any(_is_old(shown.key, now) for shown in keys if shown.state == "signs"),
        policy=Shown(anchor="policy", wanted=policy, row=rows.get(Place(Kind.DMARC))),
        back=Shown(anchor="back", wanted=back, row=rows.get(Place(Kind.RETURN_PATH)))
        if back
        else None,
        senders=rows.get(Place(Kind.SPF)) if back else None,
        instead=tuple(Shown(anchor=one.type.lower(), wanted=one) for one in instead),
    )


def _is_old(key: DkimKey, now: datetime) -> bool:
    return key.signs_since is not None and now - key.signs_since >= dkimkeys.YEARLY


def shown_key(key: DkimKey, now: datetime) -> ShownKey:
    """Return a key as its own page shows it."""
    return _with_row(key.domain, key, {}, now)


def _with_row(domain: SendingDomain, key: DkimKey, rows: Rows, now: datetime) -> ShownKey:
    row = rows.get(Place(Kind.DKIM, key.id))
    record = Shown(anchor=key.selector, wanted=records.key(domain, key), row=row)
    return ShownKey(key=key, record=record, state=_state(key), until=_until(key, row, now))


def _state(key: DkimKey) -> str:
    if key.retired_at is not None:
        return "retired"
    return "signs" if key.signs_since is not None else "waiting"


def _until(key: DkimKey, row: DomainRecord | None, now: datetime) -> datetime | None:
    if key.retired_at is not None:
        ends_at = key.retired_at + dkimkeys.KEPT
        return ends_at if ends_at > now else None
    if key.signs_since is None or row is None or row.state in (State.FOUND, State.WEAK):
        return None
    return (row.found_at or key.signs_since) + dkimkeys.GRACE
