# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about personal data, each with the control that keeps it and a live check."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import TruncDate
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.promise import Promise, Result
from accounts.signedlines import LinesAltered
from gdpr import checks, clocks, deadlines, propagation, recipients, retention
from gdpr.enquiries import watch
from gdpr.erasing import holding, repeat, run
from gdpr.inventory import ENTRIES, STORES, entry, timed_entries
from gdpr.models import Enquiry, RequestedRight

# For how long a late answer counts against the promise.
LOOKED_BACK_DAYS = 30


def everything_is_classified() -> Result:
    faults = list(checks.faults(ENTRIES, STORES))
    seen = "; ".join(str(fault.msg) for fault in faults[:3])
    return Result(holds=not faults, seen=seen or f"{len(ENTRIES)} tables, {len(STORES)} stores")


def the_log_is_forgotten() -> Result:
    keep = entry("relay.Message").keep
    tables = {item.model for item in timed_entries() if item.keep == keep}
    late = sorted(tables & set(retention.overdue(clock.now())))
    seen = f"older rows in {', '.join(late)}" if late else ""
    period = keep.period if keep else None
    kept = f"kept {period.figure} {period.unit.value}" if period else ""
    return Result(holds=not late, seen=seen or kept)


def nothing_is_older_than_its_period() -> Result:
    late = retention.overdue(clock.now())
    seen = f"older rows in {', '.join(late)}" if late else ""
    return Result(holds=not late, seen=seen or f"{len(timed_entries())} tables with a period")


def forgetting_runs_by_itself() -> Result:
    late = retention.silent(clock.now())
    seen = f"not looked through in time: {', '.join(late)}" if late else ""
    return Result(holds=not late, seen=seen or "every table in time")


def erasures_happen_and_last() -> Result:
    now = clock.now()
    try:
        found = repeat.compare(now)
    except LinesAltered:
        return Result(holds=False, seen="the journal of erasures was altered")
    counts = {
        "late": run.stuck(now).count(),
        "people back": len(found.back),
        "addresses back": len(found.addresses),
        "erasures the database knows nothing of": len(found.missing),
        "lines lost from the journal": len(found.unwritten),
        "rows kept for too long": holding.overdue(now).count(),
        "such rows back": len(holding.returned()),
    }
    seen = ", ".join(f"{count} {words}" for words, count in counts.items())
    return Result(holds=not any(counts.values()), seen=seen)


def data_stay_in_the_eea() -> Result:
    today = deadlines.day_of(clock.now())
    outside = recipients.outside_eea(today).count()
    seen = f"{outside} of {recipients.in_force(today).count()} recipients outside"
    return Result(holds=settings.EEA_ONLY and outside == 0, seen=seen)


def contracts_are_looked_at() -> Result:
    today = deadlines.day_of(clock.now())
    late = recipients.unreviewed(today).count()
    seen = f"{late} of {recipients.in_force(today).count()} not reviewed in time"
    return Result(holds=not late, seen=seen)


def requests_are_answered_in_time() -> Result:
    now = clock.now()
    open_rights = RequestedRight.objects.filter(closed_at=None)
    passed = open_rights.filter(promised_on__lt=deadlines.day_of(now)).select_related("request")
    # An open question moves the promise on, but only when it was asked in time.
    late = sum(clocks.read(row, now).is_late for row in passed)
    closed_late = _closed_late(now).count()
    seen = f"{open_rights.count()} open, {late} past the promise, {closed_late} answered too late"
    return Result(holds=late == closed_late == 0, seen=seen)


def requests_are_passed_on() -> Result:
    late = watch.late(clock.now()).count()
    waiting = Enquiry.objects.filter(proven_at__isnull=False, forwarded_at=None).count()
    return Result(holds=not late, seen=f"{waiting} to be passed on, {late} too late")


def recipients_hear_of_changes() -> Result:
    now = clock.now()
    late, waiting = propagation.count_late(now), propagation.open_ones().count()
    return Result(holds=not late, seen=f"{late} not told in time, {waiting} for staff to tell")


def _closed_late(now: datetime) -> QuerySet[RequestedRight]:
    """Return what was answered after its promise, of late: an answer does not undo the delay."""
    rows = RequestedRight.objects.filter(closed_at__gte=now - timedelta(days=LOOKED_BACK_DAYS))
    closed_on = TruncDate("closed_at", tzinfo=deadlines.COPENHAGEN)
    return rows.filter(promised_on__lt=closed_on)


PROMISES: tuple[Promise, ...] = (
    Promise(
        id="G2a",
        words=_("Only the data that the inventory names are kept."),
        control="gdpr.checks, before any process starts",
        switched_off_by="take an entry out of gdpr.inventory",
        check=everything_is_classified,
    ),
    Promise(
        id="S19",
        words=_(
            "Requests about personal data are answered in the promised time, within the law's"
            " month."
        ),
        control="gdpr.deadlines, gdpr.packing, gdpr.escalation",
        switched_off_by="leave a request open past its promise",
        check=requests_are_answered_in_time,
    ),
    Promise(
        id="D3.3",
        words=_(
            "What somebody asks about a customer's mail is passed on to the customer without delay,"
            " once the address is proven."
        ),
        control="gdpr.enquiries by the minute",
        switched_off_by="leave a proven enquiry where it is",
        check=requests_are_passed_on,
    ),
    Promise(
        id="M5.2a",
        words=_(
            "Whoever was given personal data hears of it when they are corrected, restricted or"
            " erased."
        ),
        control="gdpr.propagation every five minutes",
        switched_off_by="tell nobody of a correction",
        check=recipients_hear_of_changes,
    ),
    Promise(
        id="M2.7c",
        words=_("The log of who wrote to whom is deleted when its period ends."),
        control="gdpr.retention by the hour, relay.upkeep, relay.models.messages.LOG_DAYS",
        switched_off_by="put back the clock of a mail in the log",
        check=the_log_is_forgotten,
    ),
    Promise(
        id="M2.7a",
        words=_("No table holds anything that is older than its period."),
        control="gdpr.retention, the periods of gdpr.inventory",
        switched_off_by="leave a row that is past its period",
        check=nothing_is_older_than_its_period,
    ),
    Promise(
        id="G4a",
        words=_("Deletion runs by itself, by the hour and by night."),
        control="config.celery, gdpr.tasks",
        switched_off_by="let no run happen for two days",
        check=forgetting_runs_by_itself,
    ),
    Promise(
        id="G4b",
        words=_("An account is erased on request, and stays erased when a backup is restored."),
        control="gdpr.erasing by the minute, gdpr.ledger, manage.py replay_erasures",
        switched_off_by="bring somebody back whom the ledger has",
        check=erasures_happen_and_last,
    ),
    Promise(
        id="M3.1b",
        words=_("Personal data go to recipients inside the EEA alone."),
        control="gdpr.recipients, EEA_ONLY",
        switched_off_by="unset EEA_ONLY",
        check=data_stay_in_the_eea,
    ),
    Promise(
        id="D4.2",
        words=_("Whether a supplier keeps its contract is looked at within the promised days."),
        control="the operator's people; gdpr.recipients.REVIEW_DAYS",
        switched_off_by="look at no contract for longer than that",
        check=contracts_are_looked_at,
    ),
)
