# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests of data subjects: a person sees their own, staff and the worker see all."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
OWN_REQUEST = f"person_id = {CURRENT_PERSON}"
OWN_RIGHT = (
    "EXISTS (SELECT FROM gdpr_request r WHERE r.id = request_id"
    f" AND r.person_id = {CURRENT_PERSON})"
)
OWN_OF_RIGHT = (
    "EXISTS (SELECT FROM gdpr_requestedright t JOIN gdpr_request r ON r.id = t.request_id"
    f" WHERE t.id = right_id AND r.person_id = {CURRENT_PERSON})"
)

# Evidence (article 5(2)): no role may change a step, and none goes before its request is closed.
# Its words may be emptied, and no more: they can name the person, who may be erased (article 17).
STEPS = """
CREATE FUNCTION gdpr_step_stands() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.reason = '' AND to_jsonb(NEW) - 'reason' = to_jsonb(OLD) - 'reason' THEN
            RETURN NEW;
        END IF;
    ELSIF NOT EXISTS (SELECT FROM gdpr_requestedright t
                      WHERE t.id = OLD.right_id AND t.closed_at IS NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a step of a request is not changed, and not removed before the end';
END
$$;
CREATE TRIGGER step_stands BEFORE UPDATE OR DELETE ON gdpr_step
    FOR EACH ROW EXECUTE FUNCTION gdpr_step_stands();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("gdpr", "0001_retention"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Request",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[
                            ("portal", "portal"),
                            ("form", "public form"),
                            ("staff", "mail, phone or post"),
                        ],
                        max_length=10,
                        verbose_name="channel",
                    ),
                ),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                ("received_at", models.DateTimeField(verbose_name="received")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed")),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "request",
                "verbose_name_plural": "requests",
            },
        ),
        migrations.CreateModel(
            name="RequestedRight",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "right",
                    models.CharField(
                        choices=[
                            ("access", "access (article 15)"),
                            ("rectification", "rectification (article 16)"),
                            ("erasure", "erasure (article 17)"),
                            ("restriction", "restriction (article 18)"),
                            ("portability", "portability (article 20)"),
                            ("objection", "objection (article 21)"),
                            ("consent", "withdrawal of consent (article 7(3))"),
                            ("review", "review by a person (article 22)"),
                        ],
                        max_length=20,
                        verbose_name="right",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "received"),
                            ("identity", "identity to be proven"),
                            ("assess", "being assessed"),
                            ("paused", "awaiting the person"),
                            ("act", "being carried out"),
                            ("done", "done"),
                            ("partly_done", "partly done"),
                            ("refused", "refused"),
                            ("withdrawn", "withdrawn"),
                            ("not_identifiable", "not identifiable"),
                        ],
                        default="received",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("details", models.TextField(blank=True, verbose_name="details")),
                ("promised_on", models.DateField(verbose_name="promised")),
                ("due_on", models.DateField(verbose_name="limit of the law")),
                (
                    "extended_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="extended"),
                ),
                (
                    "escalated",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("half", "half of the time is over"),
                            ("most", "four fifths of the time are over"),
                            ("last-days", "the last days"),
                            ("overdue", "promise broken"),
                        ],
                        max_length=10,
                        verbose_name="escalated",
                    ),
                ),
                (
                    "resolution",
                    models.TextField(blank=True, default="", null=True, verbose_name="resolution"),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed")),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rights",
                        to="gdpr.request",
                    ),
                ),
            ],
            options={
                "verbose_name": "requested right",
                "verbose_name_plural": "requested rights",
            },
        ),
        migrations.CreateModel(
            name="Step",
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
                (
                    "by",
                    models.CharField(
                        choices=[
                            ("person", "the person"),
                            ("staff", "staff"),
                            ("service", "the service"),
                        ],
                        max_length=10,
                        verbose_name="by",
                    ),
                ),
                ("actor_id", models.UUIDField(null=True, verbose_name="actor")),
                ("at", models.DateTimeField(verbose_name="time")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                (
                    "right",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="gdpr.requestedright",
                    ),
                ),
            ],
            options={
                "verbose_name": "step",
                "verbose_name_plural": "steps",
                "ordering": ("id",),
            },
        ),
        migrations.AddIndex(
            model_name="request",
            index=models.Index(fields=["person", "-received_at"], name="request_of_person"),
        ),
        migrations.AddIndex(
            model_name="requestedright",
            index=models.Index(
                condition=models.Q(("closed_at", None)),
                fields=["promised_on"],
                name="requestedright_open_by_date",
            ),
        ),
        migrations.AddConstraint(
            model_name="requestedright",
            constraint=models.UniqueConstraint(
                fields=("request", "right"), name="requestedright_once_in_request"
            ),
        ),
        migrations.AddConstraint(
            model_name="requestedright",
            constraint=models.CheckConstraint(
                condition=models.Q(("promised_on__lte", models.F("due_on"))),
                name="requestedright_promise_within_limit",
            ),
        ),
        migrations.AddConstraint(
            model_name="requestedright",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("closed_at__isnull", False),
                        (
                            "state__in",
                            ["done", "partly_done", "refused", "withdrawn", "not_identifiable"],
                        ),
                    ),
                    models.Q(
                        ("closed_at__isnull", True),
                        ("state__in", ["received", "identity", "assess", "paused", "act"]),
                    ),
                    _connector="OR",
                ),
                name="requestedright_closed_when_final",
            ),
        ),
        migrations.AddConstraint(
            model_name="requestedright",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("resolution", ""),
                    ("state__in", ["partly_done", "refused", "not_identifiable"]),
                    _negated=True,
                ),
                name="requestedright_no_without_reasons",
            ),
        ),
        migrations.CreateModel(
            name="Package",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("building", "being put together"),
                            ("ready", "ready"),
                            ("failed", "failed"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("sealed_key", models.BinaryField()),
                ("parts_done", models.PositiveSmallIntegerField(default=0)),
                ("parts_total", models.PositiveSmallIntegerField(default=0)),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                ("leased_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(verbose_name="asked for")),
                ("made_at", models.DateTimeField(null=True, verbose_name="made")),
                (
                    "expires_at",
                    models.DateTimeField(null=True, verbose_name="destroyed at the latest"),
                ),
                ("size", models.PositiveBigIntegerField(default=0, verbose_name="size")),
                ("sha256", models.CharField(blank=True, max_length=64)),
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
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="package",
                        to="gdpr.requestedright",
                    ),
                ),
            ],
            options={
                "verbose_name": "package",
                "verbose_name_plural": "packages",
                "indexes": [models.Index(fields=["state", "created_at"], name="package_to_do")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "ready"), _negated=True),
                            models.Q(("expires_at__isnull", False), ("made_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="package_ready_has_an_end",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Correction",
            fields=[
                (
                    "right",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="correction",
                        serialize=False,
                        to="gdpr.requestedright",
                    ),
                ),
                ("field", models.CharField(blank=True, max_length=100, verbose_name="field")),
                ("value", models.TextField(blank=True, verbose_name="should be")),
                ("evidence", models.TextField(blank=True, verbose_name="evidence")),
            ],
            options={
                "verbose_name": "correction",
                "verbose_name_plural": "corrections",
            },
        ),
        Protect(
            "gdpr_request",
            web_rows=OWN_REQUEST,
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, UPDATE",
            duty=ALL,
        ),
        Protect(
            "gdpr_requestedright",
            web_rows=OWN_RIGHT,
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, UPDATE",
            duty=ALL,
        ),
        Protect(
            "gdpr_step",
            web_rows=OWN_OF_RIGHT,
            web="SELECT, INSERT",
            staff="SELECT, INSERT",
            duty="SELECT, INSERT, UPDATE (reason), DELETE",
        ),
        Protect(
            "gdpr_package",
            web_rows=OWN_REQUEST,
            web=ALL,
            staff="SELECT, UPDATE, DELETE",
            duty=ALL,
        ),
        Protect(
            "gdpr_correction",
            web_rows=OWN_OF_RIGHT,
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, UPDATE",
            duty=ALL,
        ),
        migrations.RunSQL(STEPS, migrations.RunSQL.noop),
    ]
