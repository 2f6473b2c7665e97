# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext

from accounts import limits, links, signin, signup, vault
from accounts.models import (
    AuditEvent,
    Membership,
    Organisation,
    OrganisationKey,
    OutgoingMail,
    Role,
    User,
)
from accounts.tenancy import organisation_context
from tests import build
from tests.accounts.conftest import Clock

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"


def details(email: str = "nina@ny.example", **values: str) -> signup.SignUp:
    return signup.SignUp(
        email=email,
        first_name="Nina",
        last_name="Ny",
        name="Nyhus ApS",
        city="Aarhus",
        vat_number="13585628",
        language="en",
        **values,
    )


def letters() -> list[dict[str, Any]]:
    """Every mail that waits, opened, with its kind; as they were written, whatever their time."""
    with build.as_owner():
        rows = OutgoingMail.objects.order_by(
            RawSQL("accounts_outgoingmail.xmin::text::bigint", ()),
            RawSQL("accounts_outgoingmail.cmin::text::bigint", ()),
        )
        return [
            {"kind": row.kind, **json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))}
            for row in rows
        ]


def token_in(letter: dict[str, Any]) -> str:
    found = re.search(r"/([A-Za-z0-9_-]{25,})/\n", letter["text"])
    assert found
    return found[1]


def _signed_up() -> str:
    signup.sign_up(details(), address=ADDRESS)
    return token_in(letters()[-1])


def test_sign_up_only_writes_a_mail(clock: Clock) -> None:
    token = _signed_up()
    (letter,) = letters()
    assert (letter["kind"], letter["to"]) == ("confirm_address", "nina@ny.example")
    assert "Nina" not in letter["text"]
    assert len(token) < 600
    with build.as_owner():
        assert not User.objects.exists()
        assert not Organisation.objects.exists()
    assert signup.read_confirmation(token) == details()


def test_confirmation_makes_person_organisation_and_key(clock: Clock) -> None:
    done = signup.confirm(_signed_up())
    with build.as_owner():
        user, organisation = User.objects.get(), Organisation.objects.get()
        membership = Membership.objects.get()
        assert AuditEvent.objects.get().action == "organisation.founded"
        assert OrganisationKey.objects.get().organisation == organisation
    assert (user.id, user.email, organisation.id) == (
        done.user_id,
        "nina@ny.example",
        done.organisation_id,
    )
    assert user.must_change_password
    assert (user.language, user.confirmed_at) == ("en", build.NOW)
    assert (organisation.name, organisation.city, organisation.vat_number) == (
        "Nyhus ApS",
        "Aarhus",
        "13585628",
    )
    assert not organisation.sending_allowed
    assert (membership.role, membership.approved_at) == (Role.OWNER, build.NOW)
    with organisation_context(organisation.id):
        assert vault.seal("x", b"y", organisation_id=organisation.id)


def test_code_signs_in_and_stays_out_of_sight(clock: Clock) -> None:
    done = signup.confirm(_signed_up())
    assert signin.authenticate(done.email, done.code, address=ADDRESS).id == done.user_id
    assert done.code not in repr(done)
    assert done.code not in str(letters())


def test_link_is_good_once_and_for_three_days(clock: Clock) -> None:
    token = _signed_up()
    clock.forward(days=3)
    with pytest.raises(links.LinkExpired):
        signup.confirm(token)
    clock.forward(seconds=-1)
    signup.confirm(token)
    with pytest.raises(signup.AlreadyConfirmed):
        signup.confirm(token)


def test_known_address_gets_another_mail_and_no_other_difference(anna: User) -> None:
    seen = {}
    for email in ["anna@due.example", "ukendt@due.example"]:
        with CaptureQueriesContext(connection) as queries:
            signup.sign_up(details(email), address=ADDRESS)
        seen[email] = [query["sql"].split("'")[0] for query in queries]
    assert seen["anna@due.example"] == seen["ukendt@due.example"]
    known, unknown = letters()
    assert (known["kind"], known["to"]) == ("address_known", "anna@due.example")
    assert (unknown["kind"], unknown["to"]) == ("confirm_address", "ukendt@due.example")
    assert "ukendt" not in known["text"] + unknown["text"]


def test_address_in_capitals_is_the_same(anna: User) -> None:
    signup.sign_up(details(" ANNA@due.example "), address=ADDRESS)
    assert letters()[0]["kind"] == "address_known"


def test_mails_to_a_person_and_from_an_address_are_limited(clock: Clock) -> None:
    for number in range(5):
        signup.sign_up(details(), address=f"192.0.2.{number}")
    with pytest.raises(limits.TooMany):
        signup.sign_up(details(), address="192.0.2.9")
    for number in range(20):
        signup.sign_up(details(f"n{number}@ny.example"), address="192.0.2.20")
    with pytest.raises(limits.TooMany):
        signup.sign_up(details("n@ny.example"), address="192.0.2.20")


def test_person_founds_one_more_organisation(anna: User, organisation: Organisation) -> None:
    second = signup.found_organisation(anna, signup.Company(name="Andenhus ApS"))
    with organisation_context(second.id, person_id=anna.id):
        assert Membership.objects.filter(user=anna).count() == 2
        assert vault.seal("x", b"y", organisation_id=second.id)


@pytest.mark.parametrize(
    ("country", "number", "short"),
    [
        ("DK", "", ""),
        ("DK", " DK 13 58 56 28 ", "13585628"),
        ("DK", "13585628", "13585628"),
        ("DE", "DE 136,695 976", "136695976"),
        ("US", " 12-3456 ", "12-3456"),
    ],
)
def test_vat_number_is_kept_short(country: str, number: str, short: str) -> None:
    assert signup.check_vat_number(country, number) == short


@pytest.mark.parametrize(
    ("country", "number"), [("DK", "13585629"), ("DK", "1358562"), ("DE", "136695978")]
)
def test_vat_number_with_a_slip_is_refused(country: str, number: str) -> None:
    with pytest.raises(ValidationError):
        signup.check_vat_number(country, number)


@pytest.mark.django_db(transaction=True)
def test_link_followed_twice_at_once_makes_one_person() -> None:
    token = _signed_up()

    def follow(_: int) -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE web")
            signup.confirm(token)
        except signup.AlreadyConfirmed:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(follow, range(4))) == [False, False, False, True]
    with build.as_owner():
        assert User.objects.count() == Organisation.objects.count() == 1
