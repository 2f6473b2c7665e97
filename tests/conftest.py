# SPDX-License-Identifier: AGPL-3.0-or-later
"""The cast and the role: a test runs as the database role `web` unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase
from django.utils import translation

from accounts import audit
from accounts.models import Organisation, Role, User
from gdpr import bounded, sealkeys
from relay.partitions import prepare_log
from tests import build
from tests.warm.children import Children

# No test fails because the machine is busy.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

# What migrating fills and no test writes.
FILLED = {"auth_permission", "django_content_type"}


@pytest.fixture(scope="session", autouse=True)
def _old_seal() -> None:
    """Keys of an authority older than every signature, whichever clock a test goes by."""
    sealkeys.make_keys(build.NOW)


@pytest.fixture(scope="session", autouse=True)
def _warm_children() -> Iterator[None]:
    children = Children()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded, "subprocess", children)
        yield
    children.end()


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    """Django's own makes kinds and permissions anew each time, which takes ten times as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _empty_tables)
        yield


def _empty_tables(_: TransactionTestCase) -> None:
    tables = set(connection.introspection.django_table_names(include_views=False)) - FILLED
    statements = connection.ops.sql_flush(no_style(), sorted(tables))
    connection.ops.execute_sql_flush(statements)
    audit.prepare()
    prepare_log()


@pytest.fixture(autouse=True)
def _english() -> None:
    """The language that is not the default: a test client leaves its page's behind."""
    translation.activate("en")


@pytest.fixture(autouse=True)
def _database_role(request: pytest.FixtureRequest, _django_db_marker: None) -> Iterator[None]:
    if "_django_db_helper" not in request.fixturenames and not request.node.get_closest_marker(
        "django_db"
    ):
        yield
        return
    marker = request.node.get_closest_marker("as_role")
    role = marker.args[0] if marker else "web"
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {connection.ops.quote_name(role)}")
    yield
    # A broken transaction is rolled back by the database fixture, and the role with it.
    if not connection.needs_rollback:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


@pytest.fixture
def anna(db: None) -> User:
    """Owns an organisation."""
    return build.person("Anna", "Due")


@pytest.fixture
def organisation(anna: User) -> Organisation:
    """Anna's organisation."""
    organisation = build.organisation("Duehuset ApS")
    build.member(organisation, anna, Role.OWNER)
    return organisation


@pytest.fixture
def bo(organisation: Organisation) -> User:
    """Works for Anna as a developer."""
    person = build.person("Bo", "Krog")
    build.member(organisation, person, Role.DEVELOPER)
    return person


@pytest.fixture
def carl(other_organisation: Organisation) -> User:
    """Belongs elsewhere and must see nothing."""
    person = build.person("Carl", "Fremmed")
    build.member(other_organisation, person, Role.OWNER)
    return person


@pytest.fixture
def other_organisation(db: None) -> Organisation:
    """Carl's organisation."""
    return build.organisation("Andet Hus A/S")


@pytest.fixture
def dorte(db: None) -> User:
    """Is staff."""
    return build.person("Dorte", "Drift", is_staff=True, is_superuser=True)


@pytest.fixture
def everything(
    organisation: Organisation, anna: User, other_organisation: Organisation, carl: User
) -> None:
    """A row in every tenant's table, for two organisations."""
    build.everything_of(organisation, anna)
    build.everything_of(other_organisation, carl)
