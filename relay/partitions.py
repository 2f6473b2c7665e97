# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log's daily partitions. Rows are forgotten by dropping a day, never one by one."""

from __future__ import annotations

from datetime import date, timedelta

from django.apps.registry import Apps
from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import CreateModel
from django.db.migrations.state import ProjectState

from accounts import clock
from relay.models import messages


class CreateDailyPartitioned(CreateModel):
    """Create a model's table partitioned by the UTC day of `accepted_at`."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        apps: Apps = to_state.apps
        model = apps.get_model(app_label, self.name)
        sql, params = schema_editor.table_sql(model)
        schema_editor.execute(f"{sql} PARTITION BY RANGE (accepted_at)", params or None)
        schema_editor.deferred_sql.extend(schema_editor._model_indexes_sql(model))  # type: ignore[attr-defined] # private


# Days that exist beforehand: mail is accepted through an outage of the upkeep.
DAYS_AHEAD = 3

# The alert of who finds a day missing: the upkeep beforehand, or a store that has mail for it.
DAY_MISSING = "log-day-missing"


def prepare_log() -> None:
    """Write the log's period for the drop function and make the next days; after `migrate`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO relay_logperiod (id, days) VALUES (1, %s)"
            " ON CONFLICT (id) DO UPDATE SET days = excluded.days",
            [messages.LOG_DAYS],
        )
    create_days(clock.now().date())


def create_days(today: date) -> None:
    """Make the partitions of yesterday, today and DAYS_AHEAD days; those there already stay."""
    with connection.cursor() as cursor:
        for offset in range(-1, DAYS_AHEAD + 1):
            cursor.execute("SELECT relay_create_day(%s)", [today + timedelta(days=offset)])


def existing_days() -> list[date]:
    """Return the days that the log has a partition for, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'relay_message'::regclass ORDER BY 1"
        )
        return [day for (day,) in cursor.fetchall()]


def drop_day(day: date) -> None:
    """Drop one day of the log. Raises DatabaseError when the database refuses (see migration)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relay_drop_day(%s)", [day])
