# SPDX-License-Identifier: AGPL-3.0-or-later
"""One function for each kind of letter: it returns what would leave, or raises Incomplete.

What comes back is None where nobody is left to write to. `drafts` finishes and sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import TextChoices
from django.utils import translation
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.emails import Link
from accounts.models import User
from gdpr import deadlines, requests
from gdpr.letters import facts as known
from gdpr.letters import wording
from gdpr.letters.drafts import Draft
from gdpr.letters.filling import fill
from gdpr.letters.kinds import Kind, Part
from gdpr.models import Package, RequestedRight


class Abuse(TextChoices):
    """Why a request may be refused, or cost a fee (article 12(5))."""

    UNFOUNDED = "unfounded", gettext_lazy("manifestly unfounded")
    EXCESSIVE = "excessive", gettext_lazy("excessive")


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows an abuse: the burden of proof is ours (article 12(5))."""

    ground: str = ""
    evidence: str = ""
    fee: Decimal | None = None


NO_PROOF = Proof()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What goes with a certificate; `reasons` is why something stays, "" when nothing does.

    `until` is when the link ends, None as long as a second certificate is awaited; `kept_until` is
    the last day of what stays, None where its time has not begun. The link leads to the second one
    for `link_days`.
    """

    reference: str
    link: str
    link_days: int
    reasons: str
    until: date | None = None
    kept_until: date | None = None


def received(row: RequestedRight) -> Draft | None:
    return _draft(wording.RECEIVED, row, day=_on(row, row.promised_on))


def question(row: RequestedRight, words: str, *, stands_still: bool) -> Draft | None:
    """Ask for what is missing; `stands_still` says whether our time waits for the answer."""
    runs_on = "" if stands_still else known.YES
    stands = known.YES if stands_still else ""
    return _draft(wording.ASKED, row, question=words, stands_still=stands, runs_on=runs_on)


def reminder(row: RequestedRight, words: str, decided_on: date) -> Draft | None:
    """Remind of a question; `decided_on` is the day on which the answer is waited for no more."""
    return _draft(wording.REMINDER, row, question=words, day=_on(row, decided_on))


def extended(row: RequestedRight, reasons: str, now: datetime) -> Draft | None:
    """Tell of further time, while that may still be done (article 12(3)). Raises TooLate."""
    if not deadlines.may_extend(requests.clock_of(row, now).due_on, now):
        raise requests.TooLate
    pauses = requests.pauses(row)
    promised_on = deadlines.clock(row.request.received_at, now, pauses, extended=True).promised_on
    return _draft(wording.EXTENDED, row, reasons=reasons, day=_on(row, promised_on))


def package_ready(package: Package) -> Draft | None:
    """Say that the package can be fetched; the link leads to a page that asks who it is."""
    row, expires_at = package.right, package.expires_at
    assert expires_at is not None, "a package that is ready has an end"
    zone = ZoneInfo(package.person.time_zone)
    with translation.override(row.request.language):
        day = str(date_format(expires_at.astimezone(zone), "DATETIME_FORMAT"))
    return _draft(wording.PACKAGE_READY, row, day=day)


def done(row: RequestedRight, words: str = "") -> Draft | None:
    return _draft(wording.DONE, row, reasons=words)


def partly_done(row: RequestedRight, reasons: str) -> Draft | None:
    return _draft(wording.PARTLY_DONE, row, reasons=reasons)


def refused(row: RequestedRight, reasons: str) -> Draft | None:
    return _draft(wording.REFUSED, row, reasons=reasons)


def unfounded(row: RequestedRight, reasons: str, proof: Proof) -> Draft | None:
    """Refuse an abuse, with what shows it (article 12(5)(b))."""
    return _draft(wording.UNFOUNDED, row, **_abuse(row, reasons, proof))


def fee(row: RequestedRight, reasons: str, proof: Proof) -> Draft | None:
    """Offer to act on an abuse against a fee, with what shows it (article 12(5)(a))."""
    given = _abuse(row, reasons, proof)
    return _draft(wording.FEE, row, fee=_fee(row, proof.fee), **given)


def not_identifiable(row: RequestedRight, reasons: str) -> Draft | None:
    return _draft(wording.NOT_IDENTIFIABLE, row, reasons=reasons)


def withdrawn(row: RequestedRight) -> Draft | None:
    return _draft(wording.WITHDRAWN, row)


def again_asked(row: RequestedRight) -> Draft | None:
    """Say when the outcome of a second look is there; `row` is the second look's own."""
    return _draft(wording.AGAIN_ASKED, row, day=_on(row, row.promised_on))


def again_upheld(row: RequestedRight, reasons: str) -> Draft | None:
    return _draft(wording.AGAIN_UPHELD, row, reasons=reasons)


def again_changed(row: RequestedRight, reasons: str) -> Draft | None:
    return _draft(wording.AGAIN_CHANGED, row, reasons=reasons)


def lifting(person: User, ground: str, day: date) -> Draft:
    """Tell that a restriction ends on that day, before it does (article 18(3)).

    `ground` is why there is one, in the person's language, as it follows "because".
    """
    language = person.language
    with translation.override(language):
        link = str(Link("gdpr:requests"))
    given = {"name": person.get_full_name(), "ground": ground, "link": link}
    facts = known.of_operator() | given | {"day": known.on(day, language)}
    filled = fill(wording.LIFTING, facts, language)
    return Draft(wording.LIFTING, filled, language, person.get_full_name(), person.email)


def erased(address: str, name: str, language: str, cover: Cover) -> Draft:
    """Bring the certificate of an erasure to who has no account any more."""
    given = {
        "name": name,
        "reference": cover.reference,
        "link": cover.link,
        "link_days": str(cover.link_days),
        "day": known.on(cover.until, language) if cover.until else "",
        "kept_until": known.on(cover.kept_until, language) if cover.kept_until else "",
        "not_begun": "" if cover.kept_until else known.YES,
        "reasons": cover.reasons,
    }
    kind = wording.ERASED if cover.until else wording.ERASED_IN_PART
    filled = fill(kind, known.of_operator() | given, language)
    return Draft(kind, filled, language, name, address)


def stated(row: RequestedRight, reasons: str, proof: Proof) -> str:
    """Return the reasons of an abuse in one text, as the request keeps them."""
    given = _abuse(row, reasons, proof)
    parts = (given["ground"].capitalize(), reasons, proof.evidence, _fee(row, proof.fee))
    return "\n\n".join(part for part in parts if part)


def _abuse(row: RequestedRight, reasons: str, proof: Proof) -> dict[str, str]:
    with translation.override(row.request.language):
        ground = str(Abuse(proof.ground).label) if proof.ground else ""
    return {"reasons": reasons, "evidence": proof.evidence, "ground": ground}


def _fee(row: RequestedRight, fee: Decimal | None) -> str:
    if fee is None:
        return ""
    with translation.override(row.request.language):
        return _("DKK %(amount)s") % {
            "amount": number_format(fee, decimal_pos=2, force_grouping=True)
        }


def _on(row: RequestedRight, day: date) -> str:
    return known.on(day, row.request.language)


def _draft(kind: Kind, row: RequestedRight, **given: str) -> Draft | None:
    person, language = row.request.person, row.request.language
    if person is None:
        return None
    if row.second_look_of is not None:
        # It is looked at again once: the authority and the courts come next.
        kind = kind.without(Part.SECOND_LOOK)
    facts = known.of_operator() | known.of_right(row, person) | given
    filled = fill(kind, facts, language)
    return Draft(kind, filled, language, person.get_full_name(), person.email, row)
