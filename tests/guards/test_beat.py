# SPDX-License-Identifier: AGPL-3.0-or-later
"""Beat and the routing table name tasks that exist, and no task is handed more than ids."""

from __future__ import annotations

import inspect
from uuid import UUID

import pytest

from config.celery import app

app.loader.import_default_modules()
TASKS = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
# What a broker may hold: never an address or content.
CARRIED = {"UUID", "str", "int", UUID, int}


def test_beat_and_routes_name_tasks_that_exist() -> None:
    named = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert TASKS
    assert named | set(app.conf.task_routes) <= set(TASKS)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_task_takes_ids_only(name: str) -> None:
    for parameter in inspect.signature(TASKS[name].run).parameters.values():
        assert parameter.annotation in CARRIED, parameter
        assert parameter.annotation != "str" or parameter.name.endswith("_id"), parameter
