# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing in and out."""

from __future__ import annotations

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import signin
from accounts.access import before_second_factor
from accounts.forms import SignInForm
from accounts.limits import client_address
from accounts.refusals import Refused
from accounts.views.answers import form_page, onward, refusal, remember_destination

SIGN_IN = "accounts/sign_in.html"


@form_page
@never_cache
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return onward(request)
    form = SignInForm(request.POST or None)
    if form.is_valid():
        return _sign_in(request, form)
    return render(request, SIGN_IN, {"form": form, "next": request.GET.get("next", "")})


def _sign_in(request: HttpRequest, form: SignInForm) -> HttpResponse:
    address = client_address(request)
    try:
        user = signin.authenticate(**form.cleaned_data, address=address)
    except Refused as refused:
        return refusal(request, SIGN_IN, form, refused, next=request.POST.get("next", ""))
    signin.sign_in(request, user)
    remember_destination(request)
    response = onward(request)
    signin.remember_browser(request, response)
    return response


@form_page
@before_second_factor
def sign_out(request: HttpRequest) -> HttpResponse:
    """A link leads to the question, its button does it: a page that is read changes nothing."""
    if not request.user.is_authenticated:
        return redirect("home")
    if request.method == "POST":
        logout(request)
        return redirect("home")
    return render(request, "accounts/sign_out.html")
