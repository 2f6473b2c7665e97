# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sealed letters: a person sees their own, staff write them, nobody changes one."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
OWN_OF_RIGHT = (
    "EXISTS (SELECT FROM gdpr_requestedright t JOIN gdpr_request r ON r.id = t.request_id"
    f" WHERE t.id = right_id AND r.person_id = {CURRENT_PERSON})"
)


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0006_enquiries")]

    operations = [
        migrations.CreateModel(
            name="Letter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=20, verbose_name="kind")),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                ("issued_at", models.DateTimeField(verbose_name="issued")),
                ("sealed", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                (
                    "right",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="letters",
                        to="gdpr.requestedright",
                    ),
                ),
            ],
            options={
                "verbose_name": "letter",
                "verbose_name_plural": "letters",
                "ordering": ("issued_at",),
            },
        ),
        migrations.AlterField(
            model_name="step",
            name="kind",
            field=models.CharField(
                choices=[
                    ("received", "received"),
                    ("identity", "identity to be proven"),
                    ("assess", "being assessed"),
                    ("paused", "the person was asked"),
                    ("act", "being carried out"),
                    ("done", "done"),
                    ("partly_done", "partly done"),
                    ("refused", "refused"),
                    ("withdrawn", "withdrawn"),
                    ("not_identifiable", "not identifiable"),
                    ("extended", "time extended"),
                    ("fee", "a fee was asked for"),
                    ("escalated", "clock watched"),
                    ("reminded", "the person was reminded"),
                    ("prepared", "package ready"),
                    ("downloaded", "package downloaded"),
                    ("destroyed", "package destroyed"),
                ],
                max_length=20,
                verbose_name="step",
            ),
        ),
        Protect(
            "gdpr_letter",
            web_rows=OWN_OF_RIGHT,
            web="SELECT",
            staff="SELECT, INSERT",
            duty=ALL,
        ),
    ]
