# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much mail came in and what became of it, by hour and by day; no address anywhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from accounts import clock
from accounts.access import current_organisation, member_required
from accounts.models.organisations import READERS
from relay import counting
from relay.counting import Point
from relay.models import Count

HOURS_SHOWN = 48
DAYS_SHOWN = 30
Span = Count.Span
# Of the drawing, in its own units.
HEIGHT, WIDTH, GAP = 120, 12, 3


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour or day as it is drawn: delivered stands below not delivered."""

    point: Point
    x: int
    good: int
    bad: int

    @property
    def good_y(self) -> int:
        return HEIGHT - self.good

    @property
    def bad_y(self) -> int:
        return HEIGHT - self.good - self.bad


@require_safe
@member_required(*READERS)
def statistics(request: HttpRequest) -> HttpResponse:
    organisation_id, now = current_organisation(request).id, clock.now()
    span = Span.HOUR if request.GET.get("by") == "hour" else Span.DAY
    since = _since(span, now)
    # Those of the days: what was chosen stays so, also where the hours have none of its mail.
    domains = counting.domains(organisation_id, _since(Span.DAY, now))
    domain = request.GET.get("domain", "")
    domain = domain if domain in domains else ""
    points = counting.series(organisation_id, span, since, domain)
    bars = list(_bars(_filled(points, span, since, now)))
    context = {
        "points": list(reversed(points)),
        "bars": bars,
        "is_by_hour": span is Span.HOUR,
        "has_days": bool(domains),
        "domain": domain,
        "choices": [("", _address(span, "")), *((name, _address(span, name)) for name in domains)],
        "by_hour": _address(Span.HOUR, domain),
        "by_day": _address(Span.DAY, domain),
        "height": HEIGHT,
        "width": len(bars) * (WIDTH + GAP),
        "bar": WIDTH,
    }
    return render(request, "relay/statistics.html", context)


def _since(span: Span, now: datetime) -> datetime:
    hour = now.replace(minute=0, second=0, microsecond=0)
    if span is Span.HOUR:
        return hour - timedelta(hours=HOURS_SHOWN - 1)
    return hour.replace(hour=0) - timedelta(days=DAYS_SHOWN - 1)


def _filled(points: Iterable[Point], span: Span, since: datetime, now: datetime) -> Iterator[Point]:
    """Yield every hour or day, those without mail as well."""
    known = {point.at: point for point in points}
    step, at = timedelta(minutes=span.value), since
    while at <= now:
        yield known.get(at) or Point(at, dict.fromkeys(counting.FIGURES, 0))
        at += step


def _bars(points: Iterable[Point]) -> Iterator[Bar]:
    drawn = list(points)
    most = max((p.figures["delivered"] + p.undelivered for p in drawn), default=0) or 1
    for number, point in enumerate(drawn):
        good = round(point.figures["delivered"] * HEIGHT / most)
        bad = round(point.undelivered * HEIGHT / most)
        yield Bar(point, number * (WIDTH + GAP), good, bad)


def _address(span: Span, domain: str) -> str:
    asked = {"by": "hour"} if span is Span.HOUR else {}
    if domain:
        asked["domain"] = domain
    here = reverse("relay:statistics")
    return f"{here}?{urlencode(asked)}" if asked else here


@require_POST
@member_required(*READERS)
def statistics_download(request: HttpRequest) -> HttpResponse:
    """All days there are figures of, by domain: some thousand lines at most."""
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(["from", "minutes", "domain", *counting.FIGURES])
    for starts_at, *others in counting.lines(current_organisation(request).id):
        table.writerow([starts_at.isoformat(), *others])
    response = HttpResponse(written.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="statistics.csv"'
    return response
