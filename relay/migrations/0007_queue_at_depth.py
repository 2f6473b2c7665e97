# SPDX-License-Identifier: AGPL-3.0-or-later
"""The queue by turns and lanes, holds and quotas; what a credential may, and a route's rests."""

from __future__ import annotations

from datetime import UTC, datetime

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)

# What waits now gets its turn and lane. An instant that nothing can read is one that passed.
WAITING = """
UPDATE relay_queueddelivery q
SET domain = lower(coalesce(substring(c.sender FROM '@([^@]*)$'), c.author_domain)),
    lane = (q.attempts > 0)::int
FROM relay_content c WHERE c.message_id = q.message_id;
UPDATE relay_queueddelivery SET due_at = accepted_at
WHERE due_at NOT BETWEEN '2000-01-01+00' AND '3000-01-01+00';
UPDATE relay_queueddelivery SET expires_at = accepted_at
WHERE expires_at NOT BETWEEN '2000-01-01+00' AND '3000-01-01+00';
"""

# Of mail that may go: the first of each turn and lane, one index descent each. Nobody claims the
# mail of a turn without a route, but the first of it was asked for and says so.
QUEUE_AGE = """
CREATE OR REPLACE FUNCTION relay_queue_age() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE turn AS (
        (SELECT organisation_id, domain, lane, due_at, reason FROM relay_queueddelivery
            ORDER BY organisation_id, domain, lane, due_at LIMIT 1)
        UNION ALL
        SELECT next.* FROM turn, LATERAL (
            SELECT q.organisation_id, q.domain, q.lane, q.due_at, q.reason
            FROM relay_queueddelivery q
            WHERE (q.organisation_id, q.domain, q.lane)
                > (turn.organisation_id, turn.domain, turn.lane)
            ORDER BY q.organisation_id, q.domain, q.lane, q.due_at LIMIT 1) next
    )
    SELECT greatest(0, coalesce(extract(epoch FROM now() - min(due_at)), 0))::integer
    FROM turn WHERE reason NOT IN ('no_route', 'route_paused', 'stopped', 'resting', 'paced')
        AND NOT EXISTS (
        SELECT FROM relay_hold h WHERE h.organisation_id = turn.organisation_id
            AND h.message_id IS NULL AND coalesce(h.domain, turn.domain) = turn.domain
            AND (h.ends_at IS NULL OR h.ends_at > now()))
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_promise_results"),
        ("relay", "0006_sandbox"),
    ]

    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("message_id", models.UUIDField(blank=True, null=True)),
                ("domain", models.TextField(blank=True, null=True, verbose_name="domain")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("held", "held back by somebody in the organisation"),
                            ("over_quota", "the organisation has sent as much as it may for now"),
                            ("paced", "the route has carried as much as it may for now"),
                        ],
                        default="held",
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("held_at", models.DateTimeField(verbose_name="held")),
                (
                    "ends_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="released by itself"),
                ),
            ],
            options={
                "verbose_name": "mail held back",
                "verbose_name_plural": "mail held back",
            },
        ),
        migrations.CreateModel(
            name="Quota",
            fields=[
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="accounts.organisation",
                    ),
                ),
                (
                    "messages_an_hour",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages an hour"
                    ),
                ),
                (
                    "messages_a_day",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="messages a day"
                    ),
                ),
            ],
            options={
                "verbose_name": "quota",
                "verbose_name_plural": "quotas",
            },
        ),
        migrations.AddField(
            model_name="content",
            name="require_tls",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="credential",
            name="block_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "not blocked"),
                    ("by_person", "blocked by you"),
                    ("by_staff", "blocked by the service"),
                ],
                default="",
                max_length=20,
                verbose_name="block reason",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="blocked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="blocked"),
        ),
        migrations.AddField(
            model_name="credential",
            name="by_network",
            field=models.BooleanField(default=False, verbose_name="sign-in by network"),
        ),
        migrations.AddField(
            model_name="credential",
            name="domains",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=253),
                blank=True,
                default=list,
                size=None,
                verbose_name="domains",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="networks",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=43),
                blank=True,
                default=list,
                size=None,
                verbose_name="networks",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="recipients_a_day",
            field=models.PositiveIntegerField(
                blank=True, null=True, verbose_name="recipients a day"
            ),
        ),
        migrations.AddField(
            model_name="queueddelivery",
            name="begun_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="queueddelivery",
            name="cancelled_at",
            field=models.DateTimeField(null=True, verbose_name="cancelled"),
        ),
        migrations.AddField(
            model_name="queueddelivery",
            name="domain",
            field=models.TextField(
                blank=True, db_collation="C", db_default="", verbose_name="domain"
            ),
        ),
        migrations.AddField(
            model_name="queueddelivery",
            name="lane",
            field=models.PositiveSmallIntegerField(
                choices=[(0, "New"), (1, "Again"), (2, "Ending")], db_default=0, default=0
            ),
        ),
        migrations.AddField(
            model_name="queueddelivery",
            name="strikes",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, verbose_name="failures"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="failures",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="route",
            name="rate_per_minute",
            field=models.PositiveIntegerField(
                blank=True, null=True, verbose_name="messages a minute"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="rest_until",
            field=models.DateTimeField(blank=True, null=True, verbose_name="resting until"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="final_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "none"),
                    ("restored", "final before a restore of the database"),
                    ("simulated", "simulated in the sandbox"),
                    ("by_person", "cancelled by somebody in the organisation"),
                    ("closed", "the customer's account was closed"),
                ],
                default="",
                max_length=20,
                verbose_name="reason",
            ),
        ),
        migrations.AlterField(
            model_name="queueddelivery",
            name="reason",
            field=models.CharField(
                choices=[
                    ("new", "not tried yet"),
                    ("deferred", "the mail server asked to try later"),
                    ("unreachable", "the mail server could not be reached"),
                    ("tls", "no secure connection to the mail server"),
                    ("sign_in_refused", "the mail server refused user name or password"),
                    ("no_route", "no route is set up"),
                    ("route_paused", "the route is paused"),
                    ("stopped", "sending is stopped for the organisation"),
                    ("uncertain", "the connection broke before the answer"),
                    ("unopened", "this service could not decrypt the message or the route"),
                    ("untold", "it failed, and the notice to its sender could not be stored yet"),
                    ("simulated", "a deferral simulated in the sandbox"),
                    ("held", "held back by somebody in the organisation"),
                    ("resting", "the mail server could not be reached and is left alone a while"),
                    ("over_quota", "the organisation has sent as much as it may for now"),
                    ("paced", "the route has carried as much as it may for now"),
                    ("quarantined", "set aside, because this service failed at it repeatedly"),
                ],
                default="new",
                max_length=20,
                verbose_name="reason",
            ),
        ),
        migrations.RunSQL(WAITING, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="content", name="author_domain"),
        migrations.RemoveIndex(model_name="queueddelivery", name="queueddelivery_due"),
        migrations.AddIndex(
            model_name="queueddelivery",
            index=models.Index(
                fields=["organisation", "domain", "lane", "due_at", "id"],
                name="queueddelivery_turn",
            ),
        ),
        migrations.AddConstraint(
            model_name="queueddelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("due_at__range", (EARLIEST, LATEST)), ("expires_at__range", (EARLIEST, LATEST))
                ),
                name="queueddelivery_readable",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="organisation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.organisation",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(
                fields=("organisation", "domain", "message_id", "reason"),
                name="hold_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("message_id", None), ("domain", None), _connector="OR"),
                name="hold_of_one_scope",
            ),
        ),
        migrations.RunSQL(QUEUE_AGE, migrations.RunSQL.noop),
        Protect("relay_hold", web=ALL, staff="SELECT", relay=ALL, duty=ALL),
        Protect(
            "relay_quota",
            web="SELECT",
            staff="SELECT, INSERT, UPDATE",
            relay="SELECT",
            duty=ALL,
        ),
    ]
