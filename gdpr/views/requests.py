# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's own requests: list, new, one with its clocks, and the packages that come of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe
from kombu.exceptions import OperationalError

from accounts import audit, clock
from accounts.access import current_person, is_fragment, person_required, while_restricted
from accounts.refusals import Refused
from accounts.views.answers import dead_link, form_page, refusal, step_up_required
from gdpr import clocks, packages, selfservice, tasks
from gdpr import requests as acts
from gdpr.clocks import Reading
from gdpr.erasing import plan
from gdpr.forms import AnswerForm, CorrectionForm, RequestForm
from gdpr.letters import drafts
from gdpr.models import Letter, Package, Request, RequestedRight, Step
from gdpr.rights import rectification
from gdpr.rights.rectification import Difference

PAGE_LENGTH = 20
NEW = "gdpr/request_new.html"
UNMADE = (Package.State.WAITING, Package.State.BUILDING)


@dataclass(frozen=True, slots=True)
class Standing:
    """One right as its page shows it."""

    row: RequestedRight
    reading: Reading | None
    steps: list[Step]
    package: Package | None
    fetchable: bool
    withdrawable: bool
    # What the person was asked and has not answered yet.
    question: str
    answer: AnswerForm
    letters: list[tuple[str, Letter]]
    # What a correction would change, until it is decided.
    difference: Difference | None
    may_look_again: bool

    @property
    def is_packing(self) -> bool:
        """Whether the worker makes a package, so that the page looks again by itself."""
        unmade = self.package is not None and self.package.state in UNMADE
        return unmade and self.row.state == RequestedRight.State.ACT


@require_safe
@while_restricted
@person_required
def requests(request: HttpRequest) -> HttpResponse:
    rows = Request.objects.filter(person=current_person(request)).prefetch_related("rights")
    page = Paginator(rows.order_by("-received_at"), PAGE_LENGTH).get_page(request.GET.get("page"))
    return render(request, "gdpr/requests.html", {"page": page, "operator": settings})


@form_page
@while_restricted
@person_required
@never_cache
@step_up_required
def request_new(request: HttpRequest) -> HttpResponse:
    person, form = current_person(request), RequestForm(request.POST or None)
    if not form.is_valid():
        context = {"form": form, "alone": plan.owned_alone(person.pk)}
        return render(request, NEW, context)
    try:
        made = selfservice.ask(
            person,
            form.asked(),
            clock.now(),
            wish=form.wish(),
            session_key=request.session.session_key,
        )
    except Refused as refused:
        return refusal(request, NEW, form, refused)
    _wake_worker()
    messages.success(request, _("Received. Here you see how far it has come."))
    return redirect("gdpr:request", made.id)


@form_page
@while_restricted
@person_required
@never_cache
@step_up_required
def correction(request: HttpRequest) -> HttpResponse:
    person, form = current_person(request), CorrectionForm(request.POST or None)
    if not form.is_valid():
        context = {"form": form, "alone": plan.owned_alone(person.pk)}
        return render(request, "gdpr/correction.html", context)
    made = rectification.ask(person, form.wish(), clock.now())
    messages.success(request, _("Received. Here you see how far it has come."))
    return redirect("gdpr:request", made.id)


@form_page
@while_restricted
@never_cache
def correction_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Prove a corrected address, signed in or not; reading changes nothing."""
    try:
        if request.method == "POST":
            rectification.confirm(token, clock.now())
            messages.success(request, _("Your address is changed. Sign in with it."))
            return redirect("accounts:sign-in")
        rectification.check_link(token)
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "gdpr/address_confirm.html")


def _wake_worker() -> None:
    # Beat wakes it as well, so that nothing but a minute is lost with Redis.
    with suppress(OperationalError):
        tasks.pack.apply_async(countdown=1, expires=60, retry=False)


@require_safe
@while_restricted
@person_required
@never_cache
def request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    row = _own(request, request_id)
    standings = [_standing(right) for right in row.rights.order_by("right")]
    busy = any(one.is_packing for one in standings)
    context = {
        "asked": row,
        "standings": standings,
        "busy": busy,
        "answered": any(one.may_look_again for one in standings),
        "contact": settings.PRIVACY_EMAIL,
        "authority": settings.AUTHORITY_NAME,
        "authority_url": settings.AUTHORITY_URL,
    }
    part = "gdpr/_standings.html" if is_fragment(request) else "gdpr/request.html"
    return render(request, part, context)


@require_POST
@while_restricted
@person_required
def request_answer(request: HttpRequest, request_id: UUID, right: str) -> HttpResponse:
    row = _right(request, request_id, right)
    form = AnswerForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Write your answer first."))
        return redirect("gdpr:request", request_id)
    try:
        words = form.cleaned_data["answer"]
        selfservice.answer(row, current_person(request), words, clock.now())
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("Thank you. The clock runs on."))
    return redirect("gdpr:request", request_id)


@require_POST
@while_restricted
@person_required
def request_withdraw(request: HttpRequest, request_id: UUID, right: str) -> HttpResponse:
    row = _right(request, request_id, right)
    try:
        selfservice.withdraw(row, current_person(request), clock.now())
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("Withdrawn. You can ask again at any time."))
    return redirect("gdpr:request", request_id)


@require_GET
@while_restricted
@person_required
@never_cache
@step_up_required
def package(request: HttpRequest, request_id: UUID, package_id: UUID) -> HttpResponse:
    """Give the package to the person whose account it is bound to, and to nobody else."""
    row = _package(request, request_id, package_id)
    now = clock.now()
    try:
        content = packages.read(row, now)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect("gdpr:request", request_id)
    person = current_person(request)
    acts.note(row.right, Step.Kind.DOWNLOADED, acts.person(person), now)
    audit.record_installation(person, "package.downloaded", row)
    response = StreamingHttpResponse(content, content_type="application/zip")
    response.headers["Content-Length"] = str(row.size)
    name = f"brevdue-{row.right.right}-{row.right.request.reference}.zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    # The guards' types know whole answers alone.
    return cast(HttpResponse, response)


@require_POST
@while_restricted
@person_required
def package_end(request: HttpRequest, request_id: UUID, package_id: UUID) -> HttpResponse:
    row = _package(request, request_id, package_id)
    packages.end_now(row, clock.now())
    messages.success(
        request, _("It can no longer be fetched; its file is destroyed within minutes.")
    )
    return redirect("gdpr:request", request_id)


def _own(request: HttpRequest, request_id: UUID) -> Request:
    return get_object_or_404(Request, pk=request_id, person=current_person(request))


def _right(request: HttpRequest, request_id: UUID, right: str) -> RequestedRight:
    rows = RequestedRight.objects.filter(request__person=current_person(request))
    return get_object_or_404(rows, request_id=request_id, right=right)


def _package(request: HttpRequest, request_id: UUID, package_id: UUID) -> Package:
    own = Package.objects.filter(person=current_person(request)).select_related("right__request")
    return get_object_or_404(own, pk=package_id, right__request_id=request_id)


def _standing(row: RequestedRight) -> Standing:
    now = clock.now()
    made = Package.objects.filter(right=row).first()
    steps = list(row.steps.all())
    return Standing(
        row=row,
        reading=clocks.read(row, now) if row.is_open else None,
        steps=steps,
        package=made,
        fetchable=made is not None and packages.may_be_fetched(made, now),
        withdrawable=selfservice.may_withdraw(row),
        question=_question(row, steps),
        # Several rights can each have a question on one page.
        answer=AnswerForm(auto_id=f"{row.right}-%s"),
        letters=[(drafts.title(letter), letter) for letter in row.letters.all()],
        difference=rectification.difference_of(row),
        may_look_again=acts.may_look_again(row),
    )


def _question(row: RequestedRight, steps: list[Step]) -> str:
    if row.state != RequestedRight.State.PAUSED:
        return ""
    asked = [step.reason for step in steps if step.kind == Step.Kind.PAUSED]
    return asked[-1] if asked else ""
