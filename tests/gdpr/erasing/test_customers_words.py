# SPDX-License-Identifier: AGPL-3.0-or-later
"""What customers wrote of a person is theirs to decide; anything else in their rows is left."""

from __future__ import annotations

import pytest
from django.db import connection

from accounts.models import Organisation, User
from gdpr import inventory, subjects
from gdpr.erasing import run, steps
from gdpr.models import Erasure
from gdpr.registry import Role
from gdpr.scan import Finding, Kind, tables
from relay.models import Credential, Route, SendingDomain
from tests import build
from tests.gdpr.erasing.conftest import later

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

THEIRS = {
    "gdpr_forwardedrequest.reason",
    "relay_message.sender",
    "relay_message.subject",
    "relay_delivery.recipient",
    "relay_delivery.display_name",
    "relay_attempt.reply",
    "relay_report.reply",
    "relay_messageheader.header",
    "relay_content.sender",
    "relay_content.envid",
    "relay_queueddelivery.domain",
    "relay_queueddelivery.recipient",
    "relay_queueddelivery.orcpt",
    "relay_restriction.address",
    "relay_restriction.spellings",
    "relay_route.name",
    "relay_route.username",
    "relay_suppression.address",
    "relay_credential.name",
}
# Rows of a customer whom the person has nothing to do with.
NOT_THEIRS = [
    "accounts_organisation.name",
    "accounts_organisation.address",
    "accounts_organisation.sending_reason",
    "relay_sendingdomain.name",
    "relay_route.host",
    "relay_credential.username",
]


@pytest.fixture
def other(db: None) -> Organisation:
    made = build.organisation("Andre ApS")
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=made, name="andre.example", token="x", created_at=build.NOW
        )
        Route.objects.create(
            organisation=made, name="a", host="mail.andre.example", created_at=build.NOW
        )
        Credential.objects.create(
            organisation=made, name="a", username="a", secret_hash=b"x", created_at=build.NOW
        )
    return made


def _write(place: str, text: str, organisation: Organisation) -> None:
    table, _, column = place.partition(".")
    owner = "id" if table == "accounts_organisation" else "organisation_id"
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {column} = %s WHERE {owner} = %s", [text, organisation.pk]
        )
        assert cursor.rowcount == 1


@pytest.mark.parametrize("place", NOT_THEIRS)
def test_another_customers_row_excuses_nothing_but_their_words(
    asked: Erasure, gone: User, other: Organisation, place: str
) -> None:
    _write(place, gone.email, other)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert (asked.fault, asked.report["stuck"]) == (Erasure.Fault.LEFTOVER, place)
    assert asked.report["found"] == [[place, "address", 1]]
    _write(place, "x.example", other)
    assert run.carry_out(asked.pk, later(hours=1))


def test_row_that_is_kept_excuses_no_column_in_which_nobody_should_be(
    asked: Erasure, gone: User
) -> None:
    (own,) = Organisation.objects.filter(name=f"{gone.last_name} Handel")
    _write("accounts_organisation.address", gone.email, own)
    _write("accounts_organisation.sending_reason", gone.email, own)
    assert not run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    assert asked.report["found"] == [["accounts_organisation.sending_reason", "address", 1]]


def test_of_all_columns_only_customers_words_and_mail_are_theirs() -> None:
    passed = {
        place
        for entry in inventory.ENTRIES
        for place in _places(subjects.model_of(entry)._meta.db_table)
        if not steps._is_leftover(Finding(place=place, kind=Kind.ADDRESS, count=1))
    }
    assert passed == THEIRS


def test_words_are_a_customers_only_where_the_service_is_the_processor() -> None:
    roles = {
        entry.role for entry in inventory.ENTRIES for field in entry.fields if field.customers_words
    }
    assert roles == {Role.PROCESSOR}


def _places(table: str) -> list[str]:
    return [f"{table}.{column.name}" for column in tables._columns(table)]
