# SPDX-License-Identifier: AGPL-3.0-or-later
"""An act done twice at once, by two connections: two clicks, or two browsers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections


def twice(act: Callable[[], object], where: object, name: str) -> list[object]:
    """Return what came of the first and of the second of an act done twice: a fault, if one did.

    The second begins while the first is about to call the function `name` of `where`, and stays
    there for a second. Needs a test with real transactions.
    """
    begun, function = threading.Event(), getattr(where, name)
    answers: list[object] = [None, None]

    def slowly(*values: Any, **named: Any) -> object:
        if not begun.is_set():
            begun.set()
            time.sleep(1)
        return function(*values, **named)

    def second() -> None:
        begun.wait(60)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE web")
            answers[1] = _outcome(act)
        finally:
            connections.close_all()

    other = threading.Thread(target=second)
    other.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, slowly)
        answers[0] = _outcome(act)
        other.join()
    return answers


def _outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except Exception as fault:  # noqa: BLE001 - whatever it is, the test looks at it
        return fault
