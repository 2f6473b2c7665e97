# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasures: a person sees their own, the worker carries them out, the ledger is the worker's."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Grant, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
OWN_ERASURE = (
    "EXISTS (SELECT FROM gdpr_requestedright t JOIN gdpr_request r ON r.id = t.request_id"
    f" WHERE t.id = right_id AND r.person_id = {CURRENT_PERSON})"
)

# The person of a certificate is gone: the link from their last mail is all that leads to it.
LOOK_UP = """
CREATE FUNCTION gdpr_certificate_for_token(hash bytea)
RETURNS TABLE (erasure_id uuid, ended_at timestamptz, certificate bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.id, e.ended_at, e.certificate FROM gdpr_erasure e
    WHERE e.token_hash = hash AND e.state = 'done'
$$;
REVOKE ALL ON FUNCTION gdpr_certificate_for_token(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gdpr_certificate_for_token(bytea) TO web;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("gdpr", "0002_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="Erasure",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("is_repeat", models.BooleanField(default=False)),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "can still be cancelled"),
                            ("cancelled", "cancelled"),
                            ("running", "being carried out"),
                            ("done", "done"),
                        ],
                        default="waiting",
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
                            ("last_owner", "an organisation would be left without an owner"),
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
                ("due_at", models.DateTimeField(db_index=True, verbose_name="due")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ("report", models.JSONField(default=dict)),
                ("certificate", models.BinaryField(null=True)),
                ("certificate_digest", models.CharField(blank=True, max_length=64)),
                ("token_hash", models.BinaryField(null=True)),
                (
                    "right",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="erasure",
                        to="gdpr.requestedright",
                    ),
                ),
            ],
            options={
                "verbose_name": "erasure",
                "verbose_name_plural": "erasures",
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("erasure_id", models.UUIDField(primary_key=True, serialize=False)),
                ("person_digest", models.BinaryField()),
                ("entered_at", models.DateTimeField()),
                ("until_on", models.DateField()),
            ],
        ),
        migrations.CreateModel(
            name="ErasureSubject",
            fields=[
                (
                    "erasure",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="subject",
                        serialize=False,
                        to="gdpr.erasure",
                    ),
                ),
                ("sealed", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="ErasureStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(verbose_name="position")),
                ("name", models.CharField(max_length=80, verbose_name="step")),
                ("done_at", models.DateTimeField(null=True, verbose_name="done")),
                ("removed", models.PositiveIntegerField(default=0, verbose_name="rows deleted")),
                ("changed", models.PositiveIntegerField(default=0, verbose_name="rows anonymised")),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="gdpr.erasure",
                    ),
                ),
            ],
            options={
                "ordering": ("position",),
            },
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", False), ("state__in", ["cancelled", "done"])),
                    models.Q(("ended_at__isnull", True), ("state__in", ["waiting", "running"])),
                    _connector="OR",
                ),
                name="erasure_ended_when_final",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasurestep",
            constraint=models.UniqueConstraint(
                fields=("erasure", "position"), name="erasurestep_once"
            ),
        ),
        Protect(
            "gdpr_erasure",
            web_rows=OWN_ERASURE,
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, UPDATE (state, ended_at, due_at, report)",
            duty=ALL,
        ),
        Protect("gdpr_erasurestep", staff="SELECT", duty=ALL),
        Protect("gdpr_erasuresubject", duty=ALL),
        Grant("gdpr_ledgerentry", duty="SELECT, INSERT, DELETE"),
        migrations.RunSQL(LOOK_UP, migrations.RunSQL.noop),
    ]
