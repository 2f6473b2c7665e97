# SPDX-License-Identifier: AGPL-3.0-or-later
"""Why accounts are restricted, and who was told of what became of data."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Protect

OWN = f"person_id = {CURRENT_PERSON}"
NUMBER = models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [
        ("gdpr", "0011_held_rows"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PersonRestriction",
            fields=[
                ("id", NUMBER),
                (
                    "ground",
                    models.CharField(
                        choices=[
                            (
                                "accuracy",
                                "you say that something is wrong, until that is looked at",
                            ),
                            (
                                "unlawful",
                                "you say that the use is unlawful, and want no erasure",
                            ),
                            ("claims", "you need the data for a legal claim"),
                            ("asked", "you have asked for it in your own words"),
                            ("objection", "you have objected, until that is decided"),
                            (
                                "cool_down",
                                "your account is to be erased, and you have time to think",
                            ),
                        ],
                        max_length=10,
                        verbose_name="ground",
                    ),
                ),
                ("restricted_at", models.DateTimeField(verbose_name="since")),
                ("ends_at", models.DateTimeField(blank=True, null=True, verbose_name="ends")),
                ("lifted_at", models.DateTimeField(blank=True, null=True, verbose_name="lifted")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "right",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="restrictions",
                        to="gdpr.requestedright",
                    ),
                ),
            ],
            options={
                "verbose_name": "restricted account",
                "verbose_name_plural": "restricted accounts",
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", NUMBER),
                (
                    "change",
                    models.CharField(
                        choices=[
                            ("rectified", "corrected"),
                            ("restricted", "restricted"),
                            ("released", "restricted no more"),
                            ("erased", "erased"),
                        ],
                        max_length=10,
                        verbose_name="what happened",
                    ),
                ),
                ("cause_id", models.UUIDField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "to be told"),
                            ("told", "told"),
                            ("impossible", "cannot be told"),
                        ],
                        default="open",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "by",
                    models.CharField(
                        blank=True,
                        choices=[("mail", "mail"), ("staff", "staff")],
                        max_length=5,
                        verbose_name="told by",
                    ),
                ),
                ("opened_at", models.DateTimeField(verbose_name="since")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="told")),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "recipient",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="gdpr.recipient",
                    ),
                ),
            ],
            options={
                "verbose_name": "notice to a recipient",
                "verbose_name_plural": "notices to recipients",
            },
        ),
        migrations.AddIndex(
            model_name="personrestriction",
            index=models.Index(
                condition=models.Q(("lifted_at", None)),
                fields=["person"],
                name="personrestriction_in_force",
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(fields=["person", "-opened_at"], name="notice_of_person"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(
                fields=("change", "cause_id", "recipient"), name="notice_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at", None), ("state", "open")),
                    models.Q(("closed_at__isnull", False), ("state__in", ["told", "impossible"])),
                    _connector="OR",
                ),
                name="notice_closed_when_final",
            ),
        ),
        Protect(
            "gdpr_personrestriction",
            web_rows=OWN,
            web="SELECT, INSERT, UPDATE (lifted_at)",
            staff="SELECT, INSERT, UPDATE (ends_at, lifted_at)",
            duty="SELECT, INSERT, UPDATE, DELETE",
        ),
        Protect(
            "gdpr_notice",
            web_rows=OWN,
            web="SELECT",
            staff="SELECT, UPDATE (state, by, closed_at)",
            duty="SELECT, INSERT, UPDATE, DELETE",
        ),
    ]
