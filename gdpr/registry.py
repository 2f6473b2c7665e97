# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of the inventory: what can be said of a table, a field, a store. No app is imported.

Whatever lives in another app (a model, a constant, an act) is named by a string: the models as
"app.Model", the others as "module:name", which `pkgutil.resolve_name` reads at the time of use.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, TypeAlias

from django.db.models import TextChoices
from django.utils.functional import Promise as LazyText
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

Text: TypeAlias = str | LazyText

MINUTE_SECONDS = 60
HOUR_SECONDS = 60 * MINUTE_SECONDS
DAY_SECONDS = 24 * HOUR_SECONDS


class Purpose(TextChoices):
    """What data are processed for (GDPR article 5(1)(b))."""

    SERVICE = "service", _("to carry the customer's mail")
    ACCOUNT = "account", _("to run the customer's account")
    SECURITY = "security", _("to keep the service and the accounts safe")
    RIGHTS = "rights", _("to answer requests about personal data")
    AGREEMENT = "agreement", _("to make, keep and prove agreements")
    NEWS = "news", _("to send news to who has asked for them")


class LegalBasis(TextChoices):
    """On what grounds (GDPR articles 6(1) and 28(3)(a))."""

    CONTRACT = "contract", _("contract, GDPR article 6(1)(b)")
    DUTY = "duty", _("legal duty, GDPR article 6(1)(c)")
    INTEREST = "interest", _("legitimate interest, GDPR article 6(1)(f)")
    CONSENT = "consent", _("consent, GDPR article 6(1)(a)")
    INSTRUCTION = "instruction", _("the customer's instruction, GDPR article 28(3)(a)")


class Role(TextChoices):
    """Whose the decision is (GDPR article 4(7) and (8))."""

    CONTROLLER = "controller", _("data controller")
    PROCESSOR = "processor", _("data processor for the customer")


class Whose(TextChoices):
    """The two kinds of subject."""

    PERSON = "person", _("people with an account, and people invited to one")
    CORRESPONDENT = "correspondent", _("senders and recipients of customers' mail")


class Source(TextChoices):
    """Where data come from (GDPR articles 14(2)(f) and 15(1)(g))."""

    SUBJECT = "subject", _("the person")
    ORGANISATION = "organisation", _("the customer that the person acts for")
    USE = "use", _("the use of the service")
    SENDER = "sender", _("the sender of the mail")
    SERVICE = "service", _("made by the service")


class Audience(TextChoices):
    """Categories of recipients (GDPR article 4(9)); `gdpr.recipients` names the actual ones."""

    HOSTING = "hosting", _("who hosts the service's machines")
    BACKUP = "backup", _("who keeps the service's backups")
    MAIL = "mail", _("who carries the service's own mails")
    SUPPORT = "support", _("who maintains the service")
    ORGANISATION = "organisation", _("the customer that the person acts for")
    MAIL_SERVERS = "mail-servers", _("the mail servers on the way to the recipient")


class Access(TextChoices):
    """What an access request gets of a field (GDPR article 15)."""

    GIVEN = "given", _("a copy is given")
    # A hash, a sealed key: of no use to the person, and a danger in a file (article 15(4), 32).
    NAMED = "named", _("named as kept, not given: a secret")
    ELSEWHERE = "elsewhere", _("named as kept: the portal hands it out")


class Corrector(TextChoices):
    """Who corrects a field (GDPR article 16)."""

    SUBJECT = "subject", _("the person, in the portal")
    ORGANISATION = "organisation", _("the customer, in the portal")
    STAFF = "staff", _("staff, on request")
    NOBODY = "nobody", _("nobody: it records what happened")


class Key(Enum):
    """What a subject is found by."""

    ID = "id"
    ADDRESS = "address"


class Eraser(TextChoices):
    """What erasing a subject does to a row that leads to them (GDPR article 17)."""

    ROW = "row", _("the row is deleted")
    BLANK = "blank", _("the fields are emptied, the row stays")
    UNLINK = "unlink", _("the row stays; what ties it to the person is another row, which goes")
    EXPIRY = "expiry", _("goes by itself within its short period")
    ORGANISATION = "organisation", _("goes when the customer's account is closed")
    HOLD = "hold", _("is kept as long as a law or a claim demands, then goes by itself")


class Law(TextChoices):
    """By what a row outlives the erasure of its subject, until when: gdpr/holds.py counts."""

    BOOKKEEPING = "bookkeeping", _("Danish Bookkeeping Act, section 12")
    LIMITATION = (
        "limitation",
        _("Danish Limitation Act, section 3, and Danish Data Protection Act, section 41"),
    )
    CONTRACT = "contract", _("the agreement with the customer")


class Unit(Enum):
    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


class Forgetting(Enum):
    """Who forgets rows whose time has come."""

    BATCHES = "batches"  # gdpr.retention, row by row
    ACT = "act"  # an act of the app that owns them, which gdpr.retention calls and records
    ELSEWHERE = "elsewhere"  # another task; gdpr.retention measures only
    COURSE = "course"  # the work itself, as unfinished mail: neither deleted nor measured


class Cadence(Enum):
    """How often rows are looked through, and how far ahead: none may reach its period meanwhile."""

    HOURLY = timedelta(hours=1)
    NIGHTLY = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Period:
    """A figure that another module owns: `constant` as "module:name".

    A number counts in `unit`; a timedelta is printed in it.
    """

    constant: str
    unit: Unit

    @property
    def figure(self) -> int:
        """Return the constant as it is now, in `unit`. Raises ImportError or AttributeError."""
        value = pkgutil.resolve_name(self.constant)
        if isinstance(value, timedelta):
            return value // timedelta(**{self.unit.value: 1})
        return int(value)

    @property
    def length(self) -> timedelta:
        return timedelta(**{self.unit.value: self.figure})

    def __str__(self) -> str:
        """Return the figure with its unit in the active language; whole years as such."""
        figure, unit = self.figure, self.unit
        if unit is Unit.SECONDS:
            figure, unit = _whole(figure)
        if unit is Unit.DAYS and (years := _years(figure)):
            return ngettext("%(count)d year", "%(count)d years", years) % {"count": years}
        return _AMOUNTS[unit](figure) % {"count": figure}


def _whole(count: int) -> tuple[int, Unit]:
    """Return seconds in the largest unit that they are a whole number of."""
    if count % DAY_SECONDS == 0:
        return count // DAY_SECONDS, Unit.DAYS
    if count % HOUR_SECONDS == 0:
        return count // HOUR_SECONDS, Unit.HOURS
    if count % MINUTE_SECONDS == 0:
        return count // MINUTE_SECONDS, Unit.MINUTES
    return count, Unit.SECONDS


def _years(count: int) -> int:
    """Return how many years so many days are with their least leap days, 0 for no whole number."""
    years = count // 365
    return years if count == years * 365 + years // 4 else 0


def _seconds(count: int) -> str:
    return ngettext("%(count)d second", "%(count)d seconds", count)


def _minutes(count: int) -> str:
    return ngettext("%(count)d minute", "%(count)d minutes", count)


def _hours(count: int) -> str:
    return ngettext("%(count)d hour", "%(count)d hours", count)


def _days(count: int) -> str:
    return ngettext("%(count)d day", "%(count)d days", count)


_AMOUNTS = {
    Unit.SECONDS: _seconds,
    Unit.MINUTES: _minutes,
    Unit.HOURS: _hours,
    Unit.DAYS: _days,
}


def days(constant: str) -> Period:
    return Period(constant, Unit.DAYS)


def hours(constant: str) -> Period:
    return Period(constant, Unit.HOURS)


def seconds(constant: str) -> Period:
    return Period(constant, Unit.SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long rows are kept: until `period` after `clock`, or until an `event`, or both.

    `clock` is the field that the period counts from, `starts` says it in words. With
    Forgetting.ACT, `act` and `due` ("module:name") take `now` and how far to look ahead: the first
    forgets and returns how many rows went, the second returns how many would. `oldest` returns the
    instant of the oldest row, or None, where the oldest `clock` of the table is not it.
    """

    event: Text = ""
    period: Period | None = None
    clock: str = ""
    starts: Text = ""
    cadence: Cadence = Cadence.NIGHTLY
    forgetting: Forgetting = Forgetting.BATCHES
    act: str = ""
    due: str = ""
    oldest: str = ""

    @property
    def words(self) -> str:
        """Return the rule as a phrase in the active language."""
        if self.period is None:
            return str(self.event)
        values = {"period": self.period, "starts": self.starts, "event": self.event}
        if self.event:
            return str(_("%(event)s, at most %(period)s %(starts)s")) % values
        return str(_("%(period)s %(starts)s")) % values


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """By which law each row outlives the erasure of its subject, and what becomes of it then.

    `clock` is the lookup, from the row, of the day or instant that the law counts from, and is
    empty in a row whose time has not begun; `period` how long, where the law's own rule does not
    say. Where no field tells, `over` ("module:name") takes a row and says whether it has ended.
    `empties` are the fields that are emptied at the end; without any the row is deleted.
    """

    law: Law
    clock: str = ""
    period: Period | None = None
    over: str = ""
    empties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """Rows are found by other rows: of `model`, where each pair (field here, field there) agrees.

    Only those rows of `model` count that match `where`, and only those here that match `here`.
    Where the rows of `model` are few, `listed` reads the values of the only pair first: several
    such paths can then use an index each, and a number may stand in a column of text.
    """

    model: str
    on: tuple[tuple[str, str], ...]
    where: Mapping[str, Any] = field(default_factory=dict)
    here: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectPath:
    """How a row leads to a subject, and what erasing that subject does to it.

    `lookup` is a Django lookup of the model that is compared with the subject's `key`, or of the
    model of `through` where there is one. `fields` are the ones that BLANK empties, and the ones
    of this subject where a row has several. `finder` ("module:name") returns the primary keys of
    the rows of an address where no query can.
    """

    whose: Whose
    key: Key
    lookup: str
    eraser: Eraser | None
    fields: tuple[str, ...] = ()
    through: Through | None = None
    finder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """A field with personal data; `what` in words that a subject understands.

    Where a row names several people, `of` says who stands where: pairs of a place inside the value
    (names joined by dots, "" for the whole) and the field that refers to that person, "" where
    nothing but an address inside says who it is.

    A field that `leads` holds the number or the address of somebody without being a foreign key or
    an EmailField, which are known to lead: a path must name it.

    `customers_words` are a customer's own, or of their mail: whom they name is the customer's to
    decide on (article 28(3)(a)), where the service is the processor. An erasure leaves them alone.
    """

    name: str
    what: Text
    access: Access = Access.GIVEN
    # Provided by the subject or observed of them, on consent or contract (GDPR article 20).
    portable: bool = False
    corrected_by: Corrector = Corrector.NOBODY
    of: tuple[tuple[str, str], ...] = ()
    leads: bool = False
    customers_words: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class NotPersonal:
    """Fields without personal data, and the reason; `customers_words` as in Personal."""

    names: tuple[str, ...]
    because: str
    customers_words: bool = False


Field: TypeAlias = Personal | NotPersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one table holds. One without a Personal field needs title and fields alone.

    `not_leading` names foreign keys to rows of a person that no path takes, as another field of the
    row names the same person.
    """

    model: str
    title: Text
    fields: tuple[Field, ...]
    role: Role | None = None
    purposes: tuple[Purpose, ...] = ()
    basis: LegalBasis | None = None
    # What the interest is and why it outweighs the person's; asked for with LegalBasis.INTEREST.
    interest: Text = ""
    source: Source | None = None
    keep: Keep | None = None
    # Asked for where a path to people has Eraser.HOLD or Eraser.ORGANISATION.
    held: Held | None = None
    paths: tuple[SubjectPath, ...] = ()
    not_leading: tuple[str, ...] = ()
    audiences: tuple[Audience, ...] = ()

    @property
    def personal(self) -> tuple[Personal, ...]:
        return tuple(item for item in self.fields if isinstance(item, Personal))

    @property
    def names(self) -> tuple[str, ...]:
        """Return every field named, as often as it is named."""
        return tuple(name for item in self.fields for name in item.names)

    @property
    def is_personal(self) -> bool:
        return bool(self.personal)

    @property
    def whose(self) -> tuple[Whose, ...]:
        return tuple(dict.fromkeys(path.whose for path in self.paths))

    def for_subject(self, whose: Whose) -> tuple[SubjectPath, ...]:
        return tuple(path for path in self.paths if path.whose is whose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A place outside the database. `personal` in words, "" where it holds nothing of a person.

    `eraser` says how a subject's data leave it.
    """

    key: str
    title: Text
    where: str
    personal: Text = ""
    because: str = ""
    role: Role | None = None
    purposes: tuple[Purpose, ...] = ()
    keep: Keep | None = None
    eraser: Text = ""
    audiences: tuple[Audience, ...] = ()

    @property
    def is_personal(self) -> bool:
        return bool(self.personal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """What a browser keeps for the service: strictly necessary ones only (ePrivacy, art. 5(3))."""

    name: str
    what: Text
    keep: Keep
