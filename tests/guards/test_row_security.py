# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every tenant's table, and every partition of one, is closed to who has no context."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models

from accounts.models import Organisation, User
from accounts.tenancy import organisation_context, person_context
from tests import build

pytestmark = pytest.mark.django_db

# Tables without a tenant, each with the reason.
NO_TENANT = {
    "accounts_alert": "the operator's own",
    "accounts_promiseresult": "figures of the whole service",
    "accounts_session": "found by a digest of a key that only the browser has",
    "accounts_user_groups": "staff only",
    "accounts_user_user_permissions": "staff only",
    "auth_group": "names of staff roles",
    "auth_group_permissions": "names of staff roles",
    "auth_permission": "the framework's own",
    "django_admin_log": "staff only, ids only",
    "django_content_type": "the framework's own",
    "django_migrations": "the framework's own",
    "dpa_offeredtext": "about a text that everybody is offered",
    "gdpr_ledgerentry": "keyed hashes of who was erased, whatever their organisations",
    "relay_destination": "mail domains and what they publish, no customer beside them",
    "relay_hourkey": "ids of keys, no organisation",
    "gdpr_recipient": "companies, in a public list",
    "gdpr_retentiongauge": "figures of whole tables",
    "gdpr_retentionrun": "figures of whole tables",
    "relay_logperiod": "one figure",
}


def _tables() -> list[tuple[str, bool, bool, bool]]:
    """Return (name, row-level security is on, it is forced, it is a partition) of each table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity, relispartition FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
        return list(cursor.fetchall())


def test_tables_of_tenants_and_their_partitions_have_row_level_security() -> None:
    tables = _tables()
    assert sum(partition for *_, partition in tables) >= 15
    assert {name for name, on, *_ in tables if not on} == set(NO_TENANT)
    assert [name for name, _, forced, _ in tables if forced] == []


def test_partitions_carry_no_grant() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relacl FROM pg_class WHERE relispartition AND relkind = 'r'"
            " AND relacl IS NOT NULL"
        )
        assert cursor.fetchall() == []


def test_each_role_has_one_policy_on_a_table() -> None:
    """A second one would be OR-ed; restrictive ones are AND-ed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename, unnest(roles) AS role, count(*) FROM pg_policies"
            " WHERE permissive = 'PERMISSIVE' GROUP BY 1, 2 HAVING count(*) > 1"
        )
        assert cursor.fetchall() == []


def _readable_by_web() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relispartition"
            " AND has_table_privilege('web', oid, 'SELECT') ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def _rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")
        (count,) = cursor.fetchone()
    return int(count)


def test_web_without_context_sees_no_row(everything: None) -> None:
    tables = _readable_by_web()
    with build.as_owner():
        assert {table for table in tables if _rows(table) == 0} == set()
    assert {table: _rows(table) for table in tables if _rows(table)} == {}


def test_web_sees_only_its_own_organisation(everything: None, carl: User) -> None:
    owned = [
        model
        for model in apps.get_models()
        if any(field.name == "organisation" for field in model._meta.fields)
        and model._meta.db_table in _readable_by_web()
    ]
    assert len(owned) >= 12
    membership = carl.memberships.model
    with build.as_owner():
        other = membership.objects.get(user=carl).organisation_id
    with organisation_context(other):
        for model in owned:
            assert _organisations(model) <= {other}


def _organisations(model: type[models.Model]) -> set[object]:
    return set(model._default_manager.values_list("organisation_id", flat=True))


def test_a_person_sees_their_own_rows_only(anna: User, carl: User) -> None:
    with person_context(anna.id):
        assert list(User.objects.values_list("id", flat=True)) == [anna.id]


def test_leaving_a_context_closes_it_again(organisation: Organisation) -> None:
    with organisation_context(organisation.id):
        assert Organisation.objects.count() == 1
    assert Organisation.objects.count() == 0
