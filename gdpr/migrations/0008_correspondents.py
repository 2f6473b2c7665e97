# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation does about one address: its members order, the worker carries out."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"

# Whoever holds a file may ask whether it is a certificate on file: of either kind of erasure.
LOOK_UP = """
CREATE OR REPLACE FUNCTION gdpr_is_certificate(digest text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM gdpr_erasure e WHERE e.certificate_digest = digest AND e.state = 'done'
    ) OR EXISTS (
        SELECT FROM gdpr_addresserasure e WHERE e.certificate_digest = digest AND e.state = 'done'
    )
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_row_level_security"),
        ("gdpr", "0007_letters"),
    ]

    operations = [
        migrations.AddField(
            model_name="ledgerentry",
            name="of_organisation",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="address_digest",
            field=models.BinaryField(db_default=b"", default=b""),
        ),
        migrations.CreateModel(
            name="AddressErasure",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                (
                    "waiting",
                    models.CharField(
                        choices=[
                            ("cancel", "it is cancelled, and nobody is told"),
                            (
                                "return",
                                "it is given up, and its sender is told that it was not delivered",
                            ),
                        ],
                        max_length=10,
                        verbose_name="waiting mail",
                    ),
                ),
                ("is_repeat", models.BooleanField(default=False)),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "being carried out"), ("done", "done")],
                        default="running",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "fault",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "none"),
                            ("leftover", "the scan found something left"),
                            ("unsearched", "a place could not be searched"),
                            ("error", "a step ended in an error"),
                        ],
                        default="",
                        max_length=20,
                        verbose_name="fault",
                    ),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked for")),
                ("due_at", models.DateTimeField(verbose_name="due")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("step", models.CharField(max_length=20, verbose_name="step")),
                ("report", models.JSONField(default=dict)),
                ("sealed_address", models.BinaryField(null=True)),
                ("certificate", models.BinaryField(null=True)),
                ("certificate_digest", models.CharField(blank=True, max_length=64)),
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
                "verbose_name": "erasure of an address",
                "verbose_name_plural": "erasures of addresses",
                "indexes": [
                    models.Index(
                        fields=["organisation", "-asked_at"], name="addresserasure_newest"
                    ),
                    models.Index(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=["due_at"],
                        name="addresserasure_due",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at__isnull", False),
                                ("sealed_address__isnull", True),
                                ("state", "done"),
                            ),
                            models.Q(
                                ("ended_at__isnull", True),
                                ("sealed_address__isnull", False),
                                ("state", "running"),
                            ),
                            _connector="OR",
                        ),
                        name="addresserasure_names_nobody_when_done",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AddressPackage",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("ready", "ready"), ("failed", "failed")],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("sealed_address", models.BinaryField()),
                ("sealed_key", models.BinaryField()),
                ("rows", models.PositiveIntegerField(default=0, verbose_name="rows")),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                ("created_at", models.DateTimeField(verbose_name="asked for")),
                ("due_at", models.DateTimeField(verbose_name="due")),
                ("made_at", models.DateTimeField(null=True, verbose_name="made")),
                (
                    "expires_at",
                    models.DateTimeField(null=True, verbose_name="destroyed at the latest"),
                ),
                ("size", models.PositiveBigIntegerField(default=0, verbose_name="size")),
                ("sha256", models.CharField(blank=True, max_length=64)),
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
                "verbose_name": "package about an address",
                "verbose_name_plural": "packages about addresses",
                "indexes": [
                    models.Index(
                        fields=["organisation", "-created_at"], name="addresspackage_newest"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "ready"), _negated=True),
                            models.Q(("expires_at__isnull", False), ("made_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="addresspackage_ready_has_an_end",
                    )
                ],
            },
        ),
        Protect("gdpr_addresserasure", web="SELECT, INSERT", staff="SELECT", duty=ALL),
        Protect(
            "gdpr_addresspackage",
            web="SELECT, INSERT, UPDATE (expires_at)",
            staff="SELECT",
            duty=ALL,
        ),
        migrations.RunSQL(LOOK_UP, migrations.RunSQL.noop),
    ]
