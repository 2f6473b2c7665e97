# SPDX-License-Identifier: AGPL-3.0-or-later
"""The manifest of a package: what is in it, what was hidden or held back, and why; its schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import override

from gdpr import releases
from gdpr.archives import SCHEMA_VERSION
from gdpr.extracts import Extract, plain
from gdpr.models import Package, Release, Right
from gdpr.redaction import Pseudonyms

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string"}
TIME = TEXT | {"format": "date-time"}
COUNT = {"type": "integer", "minimum": 0}
DIGEST = TEXT | {"pattern": "^[0-9a-f]{64}$"}


def pseudonyms(package: Package) -> Pseudonyms:
    """Return what hides everybody in a package but whom staff have decided to show."""
    shown = releases.in_force(package.person).values_list("address", flat=True)
    return Pseudonyms(frozenset(shown))


def told(
    package: Package, extract: Extract, tables: Iterable[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """Return what the manifests of all packages say alike."""
    return {
        "kind": package.right.right,
        "schema": url(),
        "request": str(package.right.request_id),
        "made_at": plain(now),
        "tables": list(tables),
        "redactions": extract.pseudonyms.told(),
        "released": [_released(row, extract) for row in releases.in_force(package.person)],
        # A package is whole, or it is not made.
        "truncated": [],
    }


def _released(row: Release, extract: Extract) -> dict[str, Any]:
    return {
        "person": row.address,
        "reason": row.reason,
        "decided_at": plain(row.decided_at),
        "count": extract.pseudonyms.shown[row.address],
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema of every manifest of this version."""
    properties = {
        "schema_version": {"const": SCHEMA_VERSION},
        "schema": {"const": url()},
        "kind": {"enum": [Right.ACCESS.value, Right.PORTABILITY.value]},
        "request": TEXT | {"format": "uuid"},
        "made_at": TIME,
        "tables": _list(_TABLE, {"table", "rows", "parts"}),
        "redactions": _list({"path": TEXT, "reason": TEXT, "count": COUNT}),
        "released": _list({"person": TEXT, "reason": TEXT, "decided_at": TIME, "count": COUNT}),
        "truncated": {"type": "array", "maxItems": 0},
        "files": _list(_FILE, {"path", "sha256", "octets"}),
    }
    access = {"language": TEXT, "withheld": _list({"path": TEXT, "reason": TEXT, "rows": COUNT})}
    portability = {"format": TEXT, "version": COUNT, "part_schema": TEXT}
    return {
        "$schema": DIALECT,
        "$id": url(),
        "title": f"Manifest of a package of personal data, version {SCHEMA_VERSION}",
        "type": "object",
        "properties": properties | access | portability,
        "required": list(properties),
        "oneOf": [_kind(Right.ACCESS, access), _kind(Right.PORTABILITY, portability)],
        "additionalProperties": False,
    }


_TABLE = {
    "table": TEXT,
    "title": TEXT,
    "rows": COUNT,
    "parts": COUNT,
    "fields": {"type": "object", "additionalProperties": TEXT},
}
_FILE = {"path": TEXT, "sha256": DIGEST, "octets": COUNT, "rows": COUNT}


def _list(properties: Mapping[str, Any], required: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the schema of a list of objects, with all of their properties unless said."""
    item = {
        "type": "object",
        "properties": dict(properties),
        "required": sorted(required or properties),
        "additionalProperties": False,
    }
    return {"type": "array", "items": item}


def _kind(right: Right, own: Mapping[str, Any]) -> dict[str, Any]:
    return {"properties": {"kind": {"const": right.value}}, "required": list(own)}


def schema_text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


def url() -> str:
    """Return where the schema of this version is published."""
    return published("gdpr:manifest-schema")


def published(name: str) -> str:
    """Return the address of a page that has no language."""
    with override(settings.LANGUAGE_CODE):
        return f"{settings.SITE_URL.rstrip('/')}{reverse(name)}"
