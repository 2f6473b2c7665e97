# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much is logged, and how long."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts import clock
from accounts.access import current_membership, member_required
from accounts.models.organisations import KEEPERS
from accounts.views.answers import form_page
from relay import logchoices
from relay.forms.log import LogChoiceForm


@form_page
@member_required(*KEEPERS)
def log_settings(request: HttpRequest) -> HttpResponse:
    """Change it; what logs more, or lets rows go, is asked about once more on the same page."""
    membership = current_membership(request)
    before = logchoices.choice_of(membership.organisation_id)
    form = LogChoiceForm(request.POST or None, before=before)
    if not form.is_valid():
        return render(request, "relay/log_settings.html", {"form": form})
    if logchoices.choose(form.choice(), clock.now(), by=membership):
        messages.success(request, _("Saved. It counts from the next mail on."))
    return redirect("relay:log")
