# SPDX-License-Identifier: AGPL-3.0-or-later
"""A value that ends in a log line or a debugger shows no content, no password and no key."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import accounts
import config
import relay

# Importing these runs something.
PROGRAMS = ("__main__", ".wsgi")
SECRET = frozenset({"content", "original", "password", "secret", "secret_hash", "sealed_secret"})


def _classes() -> Iterator[type]:
    for package in (accounts, config, relay):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith(PROGRAMS) or ".migrations." in found.name:
                continue
            module = importlib.import_module(found.name)
            yield from (
                item
                for item in vars(module).values()
                if isinstance(item, type)
                and dataclasses.is_dataclass(item)
                and item.__module__ == found.name
            )


CLASSES = {f"{item.__module__}.{item.__qualname__}": item for item in _classes()}


def test_walk_finds_the_classes() -> None:
    assert "relay.delivery.Job" in CLASSES
    assert "config.stack.postgresql.PostgreSQL" in CLASSES


@pytest.mark.parametrize("name", CLASSES)
def test_secret_fields_are_not_shown(name: str) -> None:
    shown = {item.name for item in dataclasses.fields(CLASSES[name]) if item.repr}
    assert shown & SECRET == set()
