# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whom packages name beside their person, and what a person brings along from elsewhere."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"


class Migration(migrations.Migration):
    dependencies = [
        ("gdpr", "0004_certificate_for_digest"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Release",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("address", models.EmailField(max_length=254, verbose_name="who is shown")),
                ("reason", models.TextField(verbose_name="reasons")),
                ("decided_at", models.DateTimeField(verbose_name="decided")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="whose packages",
                    ),
                ),
            ],
            options={
                "verbose_name": "release of another person's data",
                "verbose_name_plural": "releases of other people's data",
                "indexes": [models.Index(fields=["address"], name="release_of_address")],
                "constraints": [
                    models.UniqueConstraint(fields=("person", "address"), name="release_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Import",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("records", models.JSONField()),
                ("made_at", models.DateTimeField(verbose_name="package made")),
                ("proposed_at", models.DateTimeField(null=True, verbose_name="uploaded")),
                ("taken_at", models.DateTimeField(null=True, verbose_name="taken over")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="imports",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("proposed_at__isnull", True), ("taken_at__isnull", False)),
                            models.Q(("proposed_at__isnull", False), ("taken_at__isnull", True)),
                            _connector="OR",
                        ),
                        name="import_proposed_or_taken",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("proposed_at__isnull", False)),
                        fields=("person",),
                        name="import_one_proposal",
                    ),
                ],
            },
        ),
        Protect("gdpr_release", staff="SELECT, INSERT, DELETE", duty=ALL),
        Protect("gdpr_import", web_rows=f"person_id = {CURRENT_PERSON}", web=ALL, duty=ALL),
    ]
