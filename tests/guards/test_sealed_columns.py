# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is sealed under an installation key is sealed again when the key is rotated."""

from __future__ import annotations

from django.apps import apps
from django.db import models

from accounts.rotation import sealed_columns

# Sealed under the organisation's key, which a rotation does not change.
OF_THE_ORGANISATION = {
    ("gdpr.ForwardedRequest", "sealed"),
    ("gdpr.AddressErasure", "sealed_address"),
    ("gdpr.AddressPackage", "sealed_address"),
    ("gdpr.AddressPackage", "sealed_key"),
    ("relay.DkimSecret", "sealed"),
    ("relay.EspEvent", "sealed"),
    ("relay.Route", "sealed_secret"),
}


def test_every_sealed_column_is_rotated() -> None:
    sealed = {
        (model._meta.label, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.BinaryField) and field.name.startswith("sealed")
    }
    named = {(column.model, column.column) for column in sealed_columns()}
    assert sealed == named | OF_THE_ORGANISATION
    for column in sealed_columns():
        apps.get_model(column.model)._meta.get_field(column.by.removesuffix("_id"))
