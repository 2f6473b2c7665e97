# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0002_row_level_security"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Agreement",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("offered", "ready to be signed"),
                            ("signed", "signed by the customer"),
                            ("in_force", "in force"),
                            ("superseded", "replaced by a later version"),
                            ("withdrawn", "withdrawn"),
                            ("ended", "ended"),
                        ],
                        default="offered",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("text_language", models.CharField(max_length=2)),
                (
                    "text_version",
                    models.CharField(max_length=10, verbose_name="version of the text"),
                ),
                ("facts", models.JSONField()),
                ("signatory_name", models.CharField(max_length=201, verbose_name="signatory")),
                (
                    "signatory_title",
                    models.CharField(blank=True, max_length=100, verbose_name="position"),
                ),
                ("offered_at", models.DateTimeField(verbose_name="issued")),
                (
                    "signed_at",
                    models.DateTimeField(null=True, verbose_name="signed by the customer"),
                ),
                (
                    "released_at",
                    models.DateTimeField(null=True, verbose_name="let through by staff"),
                ),
                (
                    "refused_at",
                    models.DateTimeField(null=True, verbose_name="refused by staff"),
                ),
                ("in_force_at", models.DateTimeField(null=True, verbose_name="in force since")),
                ("closed_at", models.DateTimeField(null=True, verbose_name="closed")),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "contact",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "signatory",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "agreement",
                "verbose_name_plural": "agreements",
            },
        ),
        migrations.CreateModel(
            name="AgreementEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sequence", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                (
                    "act",
                    models.CharField(
                        choices=[
                            ("offered", "issued"),
                            ("signed", "signed by the customer"),
                            ("sealed", "sealed by the service"),
                            ("superseded", "replaced by a later version"),
                            ("withdrawn", "withdrawn before both had signed"),
                            ("refused", "not sealed by the service"),
                            ("ended", "ended with the organisation's account"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "evidence",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), size=None
                    ),
                ),
                ("previous_digest", models.BinaryField()),
                ("digest", models.BinaryField()),
                (
                    "agreement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="dpa.agreement",
                    ),
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
        ),
        migrations.CreateModel(
            name="Document",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("offered", "as offered"),
                            ("signed", "signed by the customer"),
                            ("complete", "signed by both parties"),
                        ],
                        max_length=10,
                    ),
                ),
                ("content", models.BinaryField()),
                ("sha256", models.BinaryField()),
                ("created_at", models.DateTimeField()),
                (
                    "agreement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="documents",
                        to="dpa.agreement",
                    ),
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
        ),
        migrations.CreateModel(
            name="OfferedText",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("language", models.CharField(max_length=2)),
                ("version", models.CharField(max_length=10)),
                ("digest", models.CharField(max_length=64)),
                ("offered_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("language", "version"), name="offeredtext_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Signatory",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("named_at", models.DateTimeField(verbose_name="named")),
                (
                    "membership",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.membership",
                    ),
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
                "verbose_name": "signatory",
                "verbose_name_plural": "signatories",
            },
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.UniqueConstraint(
                fields=("organisation", "number"), name="agreement_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "in_force")),
                fields=("organisation",),
                name="agreement_one_in_force",
            ),
        ),
        migrations.AddConstraint(
            model_name="agreement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["offered", "signed"])),
                fields=("organisation",),
                name="agreement_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="agreementevent",
            constraint=models.UniqueConstraint(
                fields=("agreement", "sequence"), name="agreementevent_sequence"
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("agreement", "kind"), name="document_once"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("sha256",), name="document_sha256"),
        ),
    ]
