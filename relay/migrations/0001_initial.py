# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import uuid

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models

from relay.partitions import CreateDailyPartitioned


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="HourKey",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("closed_at", models.DateTimeField(null=True)),
            ],
        ),
        CreateDailyPartitioned(
            name="Attempt",
            fields=[
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "accepted_at",
                        "message_id",
                        "position",
                        "number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("message_id", models.UUIDField()),
                ("position", models.PositiveSmallIntegerField()),
                ("number", models.PositiveSmallIntegerField()),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("delivered", "delivered"),
                            ("retry", "try again"),
                            ("bounced", "refused"),
                        ],
                        max_length=10,
                    ),
                ),
                ("remote_host", models.TextField(blank=True)),
                ("remote_address", models.TextField(blank=True)),
                ("tls_version", models.CharField(blank=True, max_length=10)),
                ("tls_cipher", models.CharField(blank=True, max_length=60)),
                ("tls_verified", models.BooleanField(default=False)),
                ("code", models.PositiveSmallIntegerField(default=0)),
                ("enhanced", models.CharField(blank=True, max_length=12)),
                ("reply", models.TextField(blank=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "attempt",
                "verbose_name_plural": "attempts",
            },
        ),
        migrations.CreateModel(
            name="Content",
            fields=[
                ("message_id", models.UUIDField(primary_key=True, serialize=False)),
                ("accepted_at", models.DateTimeField()),
                ("hour_key_id", models.CharField(db_index=True, max_length=40)),
                ("wrapped_key", models.BinaryField()),
                ("ciphertext", models.BinaryField()),
                ("sender", models.TextField(blank=True)),
                ("body", models.CharField(default="7BIT", max_length=10)),
                ("smtputf8", models.BooleanField(default=False)),
                ("ret", models.CharField(blank=True, max_length=4)),
                ("envid", models.TextField(blank=True)),
                ("open_deliveries", models.PositiveIntegerField()),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "username",
                    models.CharField(max_length=40, unique=True, verbose_name="user name"),
                ),
                ("secret_hash", models.BinaryField()),
                (
                    "rate_per_minute",
                    models.PositiveIntegerField(default=600, verbose_name="messages a minute"),
                ),
                (
                    "daily_cap",
                    models.PositiveIntegerField(default=50000, verbose_name="messages a day"),
                ),
                ("created_at", models.DateTimeField(verbose_name="created")),
                (
                    "last_used_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last used"),
                ),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "credential",
                "verbose_name_plural": "credentials",
            },
        ),
        migrations.CreateModel(
            name="LogPeriod",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("days", models.PositiveSmallIntegerField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="logperiod_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="SendingDomain",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=253, verbose_name="domain")),
                ("token", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "waiting for the record"),
                            ("verified", "verified"),
                            ("failing", "record missing"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "none"),
                            ("not_found", "no such record"),
                            ("wrong_value", "the record holds another value"),
                            ("unreachable", "the name servers did not answer"),
                            ("taken", "another organisation holds the proof of this name"),
                            ("development", "development name, not checked"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("checked_at", models.DateTimeField(blank=True, null=True, verbose_name="checked")),
                (
                    "verified_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="verified"),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "sending domain",
                "verbose_name_plural": "sending domains",
            },
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("priority", models.PositiveSmallIntegerField(default=10, verbose_name="order")),
                ("host", models.CharField(max_length=253, verbose_name="host")),
                ("port", models.PositiveIntegerField(default=587, verbose_name="port")),
                (
                    "security",
                    models.CharField(
                        choices=[
                            ("tls", "TLS from the first byte (port 465)"),
                            ("starttls", "STARTTLS, certificate checked"),
                            ("opportunistic", "STARTTLS when offered, certificate not checked"),
                            ("none", "no encryption"),
                        ],
                        default="starttls",
                        max_length=15,
                        verbose_name="encryption",
                    ),
                ),
                (
                    "username",
                    models.CharField(blank=True, max_length=200, verbose_name="user name"),
                ),
                ("sealed_secret", models.BinaryField(blank=True, default=b"")),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "concurrency",
                    models.PositiveSmallIntegerField(
                        default=10, verbose_name="connections at once"
                    ),
                ),
                ("paused_at", models.DateTimeField(blank=True, null=True, verbose_name="paused")),
                (
                    "pause_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "not paused"),
                            ("sign_in_refused", "the server refused user name or password"),
                            ("by_person", "paused by you"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="pause reason",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="created")),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "domain",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="relay.sendingdomain",
                        verbose_name="domain",
                    ),
                ),
            ],
            options={
                "verbose_name": "route",
                "verbose_name_plural": "routes",
            },
        ),
        CreateDailyPartitioned(
            name="Delivery",
            fields=[
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "accepted_at",
                        "message_id",
                        "position",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("message_id", models.UUIDField()),
                ("position", models.PositiveSmallIntegerField()),
                ("recipient", models.TextField(verbose_name="recipient")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("delivered", "delivered"),
                            ("bounced", "bounced"),
                            ("expired", "expired"),
                            ("cancelled", "cancelled"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "final_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "none"),
                            ("restored", "final before a restore of the database"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                (
                    "possible_duplicate",
                    models.BooleanField(default=False, verbose_name="possible duplicate"),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
                "indexes": [
                    models.Index(
                        fields=["organisation", "recipient", "accepted_at"],
                        name="delivery_recipient",
                        opclasses=["uuid_ops", "text_pattern_ops", "timestamptz_ops"],
                    )
                ],
            },
        ),
        CreateDailyPartitioned(
            name="Message",
            fields=[
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "accepted_at",
                        "id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("id", models.UUIDField()),
                ("credential_id", models.UUIDField(null=True)),
                ("sender", models.TextField(blank=True, verbose_name="sender")),
                ("size", models.PositiveIntegerField(verbose_name="size in octets")),
                ("recipients", models.PositiveIntegerField(verbose_name="recipients")),
                ("is_notification", models.BooleanField(default=False)),
                ("tls_version", models.CharField(blank=True, max_length=10)),
                ("tls_cipher", models.CharField(blank=True, max_length=60)),
                (
                    "content_destroyed_at",
                    models.DateTimeField(null=True, verbose_name="content destroyed"),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
                "indexes": [
                    models.Index(
                        fields=["organisation", "accepted_at", "id"], name="message_newest"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="QueuedDelivery",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("message_id", models.UUIDField()),
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                ("position", models.PositiveSmallIntegerField()),
                ("recipient", models.TextField(verbose_name="recipient")),
                ("notify", models.CharField(blank=True, max_length=40)),
                ("orcpt", models.TextField(blank=True)),
                ("due_at", models.DateTimeField(verbose_name="next try")),
                ("expires_at", models.DateTimeField(verbose_name="given up at")),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                (
                    "reason",
                    models.CharField(
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
                            (
                                "unopened",
                                "this service could not decrypt the message or the route",
                            ),
                            (
                                "untold",
                                "it failed, and the notice to its sender could not be stored yet",
                            ),
                        ],
                        default="new",
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("delayed_notice_at", models.DateTimeField(null=True)),
                ("possible_duplicate", models.BooleanField(default=False)),
                ("lease_owner", models.UUIDField(null=True)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("fence", models.BigIntegerField(default=0)),
                ("dot_at", models.DateTimeField(null=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "waiting delivery",
                "verbose_name_plural": "waiting deliveries",
                "indexes": [
                    models.Index(fields=["due_at", "id"], name="queueddelivery_due"),
                    models.Index(
                        fields=["organisation", "accepted_at"], name="queueddelivery_tenant"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("message_id", "position"), name="queueddelivery_once"
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="sendingdomain",
            constraint=models.UniqueConstraint(
                fields=("organisation", "name"), name="sendingdomain_once_per_organisation"
            ),
        ),
        migrations.AddConstraint(
            model_name="sendingdomain",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["verified", "failing"])),
                fields=("name",),
                name="sendingdomain_one_owner",
            ),
        ),
        migrations.AddIndex(
            model_name="sendingdomain",
            index=models.Index(
                django.contrib.postgres.indexes.OpClass(
                    django.db.models.functions.text.Reverse("name"), name="text_pattern_ops"
                ),
                name="sendingdomain_reversed",
            ),
        ),
    ]
