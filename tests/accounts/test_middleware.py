# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each view runs in the context of who is signed in, and nothing of it is left afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import path
from django.utils import timezone

from accounts.access import member_required, person_required
from accounts.models import Organisation, Role, User
from tests import build
from tests.accounts.visiting import open_contexts, visit

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@member_required(Role.OWNER)
def show(request: HttpRequest) -> HttpResponse:
    names = ",".join(Organisation.objects.values_list("name", flat=True))
    zone = timezone.get_current_timezone_name()
    return HttpResponse(f"{names} {open_contexts()} {zone}")


@person_required
def lazily(request: HttpRequest) -> HttpResponse:
    """Reads its rows while it is rendered."""
    return TemplateResponse(request, "403.html", {"organisation": Organisation.objects.get()})


def rename(request: HttpRequest, fault: str) -> HttpResponse:
    Organisation.objects.update(name="Omdøbt")
    if fault == "forbidden":
        raise PermissionDenied
    if fault == "database":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
    if fault == "crash":
        raise RuntimeError
    return HttpResponse("done")


def open_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(open_contexts()))


from config.urls import urlpatterns as portal_patterns  # noqa: E402

urlpatterns = [
    path("try/show", show),
    path("try/lazily", lazily),
    path("try/rename/<str:fault>", rename),
    path("try/open", open_view),
    *portal_patterns,
]


def name_of(organisation: Organisation) -> str:
    with build.as_owner():
        organisation.refresh_from_db()
    return organisation.name


def test_view_sees_the_organisation_and_nothing_stays_open(
    organisation: Organisation, carl: User, anna: User
):
    text = visit(anna).get("/try/show").text
    assert text.startswith("Duehuset ApS ")
    assert str((str(organisation.id), str(anna.id), "web")) in text
    assert text.endswith("Europe/Copenhagen")
    assert open_contexts() == ("", "", "web")
    assert timezone.get_current_timezone_name() == "UTC"


def test_response_is_rendered_inside_the_context(organisation: Organisation, anna: User):
    assert "Duehuset ApS" in visit(anna).get("/try/lazily").text


@pytest.mark.parametrize(
    ("fault", "status"), [("forbidden", 403), ("database", 500), ("crash", 500)]
)
def test_what_a_failed_view_wrote_is_undone(
    fault: str, status: int, organisation: Organisation, anna: User
):
    client = visit(anna)
    client.raise_request_exception = False
    assert client.get(f"/try/rename/{fault}").status_code == status
    assert name_of(organisation) == "Duehuset ApS"
    assert open_contexts() == ("", "", "web")


def test_what_a_view_wrote_is_kept(organisation: Organisation, carl: User, anna: User):
    assert visit(anna).get("/try/rename/none").text == "done"
    assert name_of(organisation) == "Omdøbt"
    with build.as_owner():
        assert Organisation.objects.get(name="Andet Hus A/S")


def test_nobody_has_no_context(client: Client, organisation: Organisation):
    assert client.get("/try/open").text == str(("", "", "web"))
    client.cookies["sessionid"] = "x" * 32
    assert client.get("/try/open").text == str(("", "", "web"))


def test_person_without_organisation_has_a_context_of_their_own(db: None):
    person = build.person("Ene", "Alene")
    assert visit(person).get("/try/open").text == str(("", str(person.id), "web"))


def test_organisation_chosen_before_an_exclusion_is_not_opened(
    other_organisation: Organisation, organisation: Organisation, anna: User
):
    text = visit(anna, other_organisation).get("/try/show").text
    assert text.startswith("Duehuset ApS ")


class TestAccess:
    def test_nobody_is_asked_to_sign_in(self, client: Client):
        for address in ("/try/show", "/try/lazily"):
            answer: Any = client.get(address)
            assert answer.headers["Location"] == f"/sign-in/?next={address}"

    def test_wrong_role_is_forbidden(self, bo: User):
        assert visit(bo).get("/try/show").status_code == 403

    def test_no_organisation_leads_to_the_list(self, db: None):
        answer: Any = visit(build.person("Ene", "Alene")).get("/try/show")
        assert answer.headers["Location"] == "/organisations/"
