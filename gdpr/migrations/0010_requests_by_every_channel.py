# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests by every channel: who asks is proven, what cannot be undone is approved by a second
person, an answer is looked at again.
"""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Grant, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
OWN_CLAIM = f"claimant_id = {CURRENT_PERSON}"
# Whoever has a request so far has asked in the portal, where it runs at once.
PROVEN = """
UPDATE gdpr_request SET proven_at = received_at;
UPDATE gdpr_requestedright t SET begun_at = r.received_at FROM gdpr_request r WHERE r.id = request_id;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("gdpr", "0009_letter_for_digest"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[
                            (
                                "erasure",
                                "erasure of an account that was not asked for in the portal",
                            )
                        ],
                        max_length=20,
                        verbose_name="what",
                    ),
                ),
                ("subject_id", models.UUIDField(verbose_name="about")),
                ("asked_at", models.DateTimeField(verbose_name="asked for")),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided")),
                (
                    "decision",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "not decided"),
                            ("approved", "approved"),
                            ("declined", "not approved"),
                            ("void", "no longer needed"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="decision",
                    ),
                ),
            ],
            options={
                "verbose_name": "approval by a second person",
                "verbose_name_plural": "approvals by a second person",
            },
        ),
        migrations.CreateModel(
            name="Claim",
            fields=[
                (
                    "request",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="claim",
                        serialize=False,
                        to="gdpr.request",
                    ),
                ),
                ("sealed", models.BinaryField()),
                ("asked_at", models.DateTimeField(null=True, verbose_name="asked by mail")),
                ("confirmed_at", models.DateTimeField(null=True, verbose_name="confirmed")),
            ],
            options={
                "verbose_name": "claimed identity",
                "verbose_name_plural": "claimed identities",
            },
        ),
        migrations.AddField(
            model_name="request",
            name="proven_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="identity proven"),
        ),
        migrations.AddField(
            model_name="requestedright",
            name="begun_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="requestedright",
            name="second_look_of",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="second_look",
                to="gdpr.requestedright",
            ),
        ),
        migrations.AlterField(
            model_name="step",
            name="kind",
            field=models.CharField(
                choices=[
                    ("received", "received"),
                    ("identity", "identity to be proven"),
                    ("proven", "identity proven"),
                    ("assess", "being assessed"),
                    ("paused", "the person was asked"),
                    ("act", "being carried out"),
                    ("done", "done"),
                    ("partly_done", "partly done"),
                    ("refused", "refused"),
                    ("withdrawn", "withdrawn"),
                    ("not_identifiable", "not identifiable"),
                    ("approval", "a second person was asked to approve"),
                    ("approved", "a second person has approved"),
                    ("declined", "a second person has not approved"),
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
        migrations.RunSQL(PROVEN, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="request",
            constraint=models.CheckConstraint(
                condition=models.Q(("person", None), ("proven_at__isnull", False), _connector="OR"),
                name="request_of_nobody_until_proven",
            ),
        ),
        migrations.AddField(
            model_name="approval",
            name="asked_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="asked by",
            ),
        ),
        migrations.AddField(
            model_name="approval",
            name="decided_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="decided by",
            ),
        ),
        migrations.AddField(
            model_name="claim",
            name="claimant",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.UniqueConstraint(
                condition=models.Q(("decided_at", None)),
                fields=("what", "subject_id"),
                name="approval_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("asked_by", models.F("decided_by")), ("decision", "approved"), _negated=True
                ),
                name="approval_by_another_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("decision", "")),
                    models.Q(
                        models.Q(("decision", ""), _negated=True), ("decided_at__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="approval_decided_when_it_says_so",
            ),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("confirmed_at", None),
                    models.Q(("asked_at__isnull", False), ("claimant__isnull", False)),
                    _connector="OR",
                ),
                name="claim_confirmed_by_who_was_asked",
            ),
        ),
        Protect(
            "gdpr_claim",
            web_rows=OWN_CLAIM,
            # Who follows the mailed link says so here, and does nothing else.
            web="SELECT, UPDATE (confirmed_at)",
            staff="SELECT, INSERT, UPDATE (asked_at), DELETE",
            duty=ALL,
        ),
        Protect("gdpr_approval", staff="SELECT, INSERT, UPDATE", duty=ALL),
        Grant("gdpr_request", staff="INSERT"),
        Grant("gdpr_requestedright", staff="INSERT"),
    ]
