# SPDX-License-Identifier: AGPL-3.0-or-later
"""What can be taken along: provided and observed data alone, as the published schema says."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from accounts.models import Organisation, User
from gdpr import packages, packing
from gdpr.models import Package, RequestedRight, Right
from gdpr.rights import manifest, portability
from tests import build
from tests.accounts.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


@pytest.fixture
def book(clock: Clock, everything: None, anna: User) -> zipfile.ZipFile:
    asked = build.request_of(anna, Right.PORTABILITY)
    asked.rights.update(state=RequestedRight.State.ACT)
    package = build.package_of(asked)
    packing.pack_due()
    ready = Package.objects.get(pk=package.pk)
    return zipfile.ZipFile(io.BytesIO(b"".join(packages.read(ready, clock.now))))


def parts(book: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [json.loads(book.read(name)) for name in book.namelist() if name.startswith("data/")]


def test_parts_are_what_the_schema_says(book: zipfile.ZipFile) -> None:
    schema = json.loads(book.read("portability.schema.json"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert len(parts(book)) >= 3
    for part in parts(book):
        validator.validate(part)
        with pytest.raises(ValidationError):
            validator.validate(part | {"rows": [{"unknown": 1}]})


def test_it_has_what_was_provided_and_observed_and_no_more(book: zipfile.ZipFile) -> None:
    (person,) = next(part["rows"] for part in parts(book) if part["table"] == "accounts.User")
    assert person["email"] == "anna@due.example"
    assert "last_login" in person
    # Made by the service, or of use to it alone: article 15 gives these, article 20 does not.
    for name in ("password", "is_staff", "is_active", "id"):
        assert name not in person
    assert "accounts.AuditEvent" not in {part["table"] for part in parts(book)}


def test_schema_is_the_published_one(book: zipfile.ZipFile) -> None:
    assert book.read("portability.schema.json").decode() == portability.schema_text()
    assert json.loads(book.read("manifest.json"))["part_schema"] == portability.schema_url()


def test_manifest_is_what_its_schema_says(book: zipfile.ZipFile) -> None:
    schema = manifest.schema()
    Draft202012Validator.check_schema(schema)
    validator, told = Draft202012Validator(schema), json.loads(book.read("manifest.json"))
    validator.validate(told)
    assert told["schema"] == schema["$id"] == manifest.url()
    assert told["truncated"] == []
    for broken in (
        told | {"kind": "access"},
        told | {"schema_version": 2},
        told | {"truncated": ["data/x"]},
        told | {"more": 1},
        {name: value for name, value in told.items() if name != "redactions"},
        told | {"released": [{"person": "x"}]},
    ):
        assert not validator.is_valid(broken)


@pytest.mark.parametrize("standing", Organisation.Standing)
def test_package_of_whoever_belongs_to_a_customer_in_any_standing(
    clock: Clock, organisation: Organisation, bo: User, standing: str
) -> None:
    """Suspended, unpaid and closing customers' people have their rights all the same."""
    with build.as_owner():
        Organisation.objects.update(standing=standing, sending_allowed=False)
    asked = build.request_of(bo, Right.PORTABILITY)
    asked.rights.update(state=RequestedRight.State.ACT)
    package = build.package_of(asked)
    assert packing.pack_due() == 1
    ready = Package.objects.get(pk=package.pk)
    made = zipfile.ZipFile(io.BytesIO(b"".join(packages.read(ready, clock.now))))
    (member,) = next(part["rows"] for part in parts(made) if part["table"] == "accounts.Membership")
    assert member["organisation"] == "Duehuset ApS"
