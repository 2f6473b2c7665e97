# SPDX-License-Identifier: AGPL-3.0-or-later
"""Register of recipients, and what was forgotten: nobody's tenant, figures and companies only."""

from __future__ import annotations

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import Grant


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0002_row_level_security"),
    ]

    operations = [
        migrations.CreateModel(
            name="RetentionGauge",
            fields=[
                (
                    "what",
                    models.CharField(
                        max_length=80, primary_key=True, serialize=False, verbose_name="table"
                    ),
                ),
                ("measured_at", models.DateTimeField(verbose_name="measured")),
                (
                    "oldest_at",
                    models.DateTimeField(null=True, verbose_name="oldest row counts from"),
                ),
                (
                    "over_seconds",
                    models.BigIntegerField(null=True, verbose_name="seconds over the period"),
                ),
                ("due", models.PositiveBigIntegerField(verbose_name="rows the next run deletes")),
            ],
            options={
                "verbose_name": "retention gauge",
                "verbose_name_plural": "retention gauges",
            },
        ),
        migrations.CreateModel(
            name="RetentionRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("what", models.CharField(max_length=80, verbose_name="table")),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                ("rows", models.PositiveBigIntegerField(default=0, verbose_name="rows deleted")),
            ],
            options={
                "verbose_name": "retention run",
                "verbose_name_plural": "retention",
                "indexes": [
                    models.Index(fields=["what", "-started_at"], name="retentionrun_newest")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("finished_at", None)),
                        fields=("what",),
                        name="retentionrun_one_unfinished",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Recipient",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("address", models.CharField(max_length=300, verbose_name="address")),
                ("country", models.CharField(max_length=2, verbose_name="country")),
                ("company_number", models.CharField(max_length=40, verbose_name="company number")),
                (
                    "contact",
                    models.CharField(max_length=254, verbose_name="contact for data protection"),
                ),
                (
                    "services",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("hosting", "hosting of the service's machines"),
                                ("backup", "keeping of the service's backups"),
                                ("mail", "carrying of the service's own mails"),
                                ("support", "maintenance of the service"),
                            ],
                            max_length=20,
                        ),
                        size=None,
                        verbose_name="services",
                    ),
                ),
                (
                    "transfer",
                    models.CharField(
                        choices=[
                            ("none", "inside the EEA, no transfer"),
                            ("adequacy", "adequacy decision, GDPR article 45"),
                            ("clauses", "standard contractual clauses, GDPR article 46(2)(c)"),
                        ],
                        default="none",
                        max_length=10,
                        verbose_name="grounds of transfer",
                    ),
                ),
                ("starts_on", models.DateField(verbose_name="from")),
                ("ends_on", models.DateField(blank=True, null=True, verbose_name="until")),
                ("contract_on", models.DateField(verbose_name="data processing agreement of")),
                ("reviewed_on", models.DateField(verbose_name="last reviewed")),
                (
                    "engaged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="gdpr.recipient",
                        verbose_name="engaged by",
                    ),
                ),
            ],
            options={
                "verbose_name": "recipient",
                "verbose_name_plural": "recipients and sub-processors",
                "ordering": ("name",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ends_on", None),
                            ("ends_on__gte", models.F("starts_on")),
                            _connector="OR",
                        ),
                        name="recipient_ends_after_start",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("services", []), _negated=True),
                        name="recipient_does_something",
                    ),
                ],
            },
        ),
        Grant(
            "gdpr_retentionrun", web="SELECT", staff="SELECT", duty="SELECT, INSERT, UPDATE, DELETE"
        ),
        Grant(
            "gdpr_retentiongauge",
            web="SELECT",
            staff="SELECT",
            duty="SELECT, INSERT, UPDATE, DELETE",
        ),
        # The public list is read by the portal; ended rows stay for the agreements that name them.
        Grant("gdpr_recipient", web="SELECT", staff="SELECT, INSERT, UPDATE", duty="SELECT"),
    ]
