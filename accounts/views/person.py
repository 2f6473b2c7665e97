# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's own pages: profile and security."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from accounts import clock, signin, twofactor
from accounts.access import current_person, person_required
from accounts.forms import ProfileForm
from accounts.models import Membership, Session, User
from accounts.rectification import rectify_person
from accounts.sessions import stored_key
from accounts.views.answers import form_page


@form_page
@person_required
def profile(request: HttpRequest) -> HttpResponse:
    person = current_person(request)
    names = list(ProfileForm.base_fields)
    known = {name: getattr(person, name) for name in names}
    form = ProfileForm(request.POST or None, initial=known)
    if form.is_valid():
        rectify_person(person, form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("accounts:profile")
    memberships = Membership.objects.filter(user=person).select_related("organisation")
    return render(request, "accounts/profile.html", {"form": form, "memberships": memberships})


@require_safe
@person_required
def security(request: HttpRequest) -> HttpResponse:
    person = current_person(request)
    protected = twofactor.has_device(person)
    context = {
        "protected": protected,
        "codes_left": twofactor.backup_codes_left(person) if protected else 0,
        "other_sessions": _other_sessions(request, person),
    }
    return render(request, "accounts/security.html", context)


def _other_sessions(request: HttpRequest, person: User) -> int:
    """Return in how many other browsers the person is signed in."""
    open_now = Session.objects.filter(user_id=person.id, expire_date__gt=clock.now())
    return open_now.exclude(session_key=stored_key(request.session.session_key)).count()


@form_page
@person_required
def sessions_end(request: HttpRequest) -> HttpResponse:
    person = current_person(request)
    if request.method == "POST":
        ended = signin.end_sessions(person.id, keep=request.session.session_key or "")
        text = ngettext(
            "Signed out in %(count)d other browser.",
            "Signed out in %(count)d other browsers.",
            ended,
        )
        messages.success(request, text % {"count": ended})
        return redirect("accounts:security")
    context = {"other_sessions": _other_sessions(request, person)}
    return render(request, "accounts/sessions_end.html", context)
