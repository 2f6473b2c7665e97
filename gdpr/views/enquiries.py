# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public form for whomever customers' mail is about, and the link that proves an address."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import while_restricted
from accounts.limits import TooMany, client_address
from accounts.links import LinkExpired
from accounts.refusals import Refused
from accounts.views.answers import dead_link, form_page, refusal
from gdpr.enquiries import asking, proving
from gdpr.enquiries.asking import Whom
from gdpr.enquiries.forms import WHOM, EnquiryForm, OwnEnquiryForm

OWN = "gdpr/enquiry_own.html"


@form_page
@while_restricted
@sensitive_post_parameters()
def enquiry(request: HttpRequest) -> HttpResponse:
    """Keep what is asked, if there is room for it; what comes next is the same page either way."""
    form = EnquiryForm(request.POST or None)
    if not form.is_valid():
        return render(request, "gdpr/enquiry.html", {"form": form})
    asking.store(form.asked(), clock.now(), network=client_address(request))
    return redirect("gdpr:enquiry-sent")


@require_safe
@while_restricted
def enquiry_sent(request: HttpRequest) -> HttpResponse:
    return render(request, "gdpr/enquiry_sent.html", {"days": proving.LINK_LIFETIME.days})


@form_page
@while_restricted
@never_cache
def enquiry_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """What the link from the mail leads to: reading changes nothing, the button does."""
    try:
        if request.method == "POST":
            proving.prove(token, clock.now())
            return redirect("gdpr:enquiry-confirm", token)
        pending = proving.find(token)
    except Refused as refused:
        return dead_link(request, refused)
    asked = pending.asked
    context = {
        "asked": asked,
        "token": token,
        "rights": [right.label for right in asked.rights] if asked else [],
        "ourselves": asked is not None and asked.whom is Whom.OURSELVES,
        "whom": WHOM[asked.whom] if asked and asked.whom is not Whom.SENDER else "",
        "answer_at": pending.answer_at,
    }
    return render(request, "gdpr/enquiry_confirm.html", context)


@form_page
@while_restricted
@never_cache
@sensitive_post_parameters()
def enquiry_own(request: HttpRequest, token: str) -> HttpResponse:
    """What the owner of a mailed link wants to ask, whatever others have asked in their name."""
    try:
        asked = proving.find(token).asked
    except Refused as refused:
        return dead_link(request, refused)
    if asked is None:
        return dead_link(request, LinkExpired())
    form = OwnEnquiryForm(request.POST or None, address=asked.address)
    if not form.is_valid():
        return render(request, OWN, {"form": form, "token": token})
    try:
        made = proving.ask_by_link(form.asked(), clock.now())
    except TooMany as refused:
        return refusal(request, OWN, form, refused, token=token)
    return redirect("gdpr:enquiry-confirm", made)
