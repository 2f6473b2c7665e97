# SPDX-License-Identifier: AGPL-3.0-or-later
"""Enquiries by the public form, which the portal adds and does not read; and what organisations
get of them.
"""

from __future__ import annotations

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"

RIGHTS = [
    ("access", "access (article 15)"),
    ("rectification", "rectification (article 16)"),
    ("erasure", "erasure (article 17)"),
    ("restriction", "restriction (article 18)"),
    ("portability", "portability (article 20)"),
    ("objection", "objection (article 21)"),
    ("consent", "withdrawal of consent (article 7(3))"),
    ("review", "review by a person (article 22)"),
]

# Whoever holds the link from the mail is known by nothing else: its number leads to one row.
OF_LINK = """
CREATE FUNCTION gdpr_enquiry_of_link(enquiry uuid)
RETURNS TABLE (sealed bytea, proven_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.sealed, e.proven_at FROM gdpr_enquiry e
    WHERE e.id = enquiry AND e.mailed_at IS NOT NULL
$$;
REVOKE ALL ON FUNCTION gdpr_enquiry_of_link(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gdpr_enquiry_of_link(uuid) TO web;

CREATE FUNCTION gdpr_prove_enquiry(enquiry uuid, at timestamptz, answer_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE gdpr_enquiry e SET proven_at = at, due_at = answer_at
    WHERE e.id = enquiry AND e.mailed_at IS NOT NULL AND e.proven_at IS NULL;
    RETURN EXISTS (SELECT FROM gdpr_enquiry e WHERE e.id = enquiry AND e.proven_at IS NOT NULL);
END
$$;
REVOKE ALL ON FUNCTION gdpr_prove_enquiry(uuid, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gdpr_prove_enquiry(uuid, timestamptz, timestamptz) TO web;
"""
NO_LINK = """
DROP FUNCTION gdpr_prove_enquiry(uuid, timestamptz, timestamptz);
DROP FUNCTION gdpr_enquiry_of_link(uuid);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_databases_from_before_restriction"),
        ("gdpr", "0005_takeout"),
    ]

    operations = [
        migrations.CreateModel(
            name="Enquiry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("sealed", models.BinaryField(null=True)),
                ("address_hash", models.BinaryField(null=True)),
                ("received_at", models.DateTimeField(verbose_name="received")),
                ("mailed_at", models.DateTimeField(null=True)),
                ("proven_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField()),
                ("answered_at", models.DateTimeField(null=True)),
                ("forwarded_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "enquiry",
                "verbose_name_plural": "enquiries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("forwarded_at", None)),
                        fields=["due_at"],
                        name="enquiry_due",
                    ),
                    models.Index(fields=["address_hash", "mailed_at"], name="enquiry_mailed"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ForwardedRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("enquiry_id", models.UUIDField()),
                (
                    "rights",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(choices=RIGHTS, max_length=20),
                        size=None,
                        verbose_name="rights",
                    ),
                ),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                ("sealed", models.BinaryField()),
                ("address_hash", models.BinaryField()),
                ("received_at", models.DateTimeField(verbose_name="received")),
                ("forwarded_at", models.DateTimeField(verbose_name="passed on")),
                ("promised_on", models.DateField(verbose_name="promised")),
                ("due_on", models.DateField(verbose_name="limit of the law")),
                (
                    "extended_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="extended"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("new", "new"),
                            ("taken", "taken up"),
                            ("answered", "answered"),
                            ("refused", "refused"),
                            ("not_ours", "not about us"),
                        ],
                        default="new",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.TextField(blank=True, verbose_name="reasons")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed")),
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
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "request passed on",
                "verbose_name_plural": "requests passed on",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organisation", "enquiry_id"), name="forwardedrequest_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("closed_at__isnull", False),
                                ("state__in", ["answered", "refused", "not_ours"]),
                            ),
                            models.Q(("closed_at__isnull", True), ("state__in", ["new", "taken"])),
                            _connector="OR",
                        ),
                        name="forwardedrequest_closed_when_final",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), ("state", "refused"), _negated=True),
                        name="forwardedrequest_no_without_reasons",
                    ),
                ],
                "indexes": [
                    models.Index(
                        fields=["organisation", "-received_at"], name="forwardedrequest_newest"
                    ),
                    models.Index(
                        fields=["organisation", "address_hash"], name="forwardedrequest_address"
                    ),
                    models.Index(
                        condition=models.Q(("closed_at", None)),
                        fields=["promised_on"],
                        name="forwardedrequest_open",
                    ),
                    models.Index(fields=["received_at"], name="forwardedrequest_received"),
                ],
            },
        ),
        Protect("gdpr_enquiry", web_rows="false", web_writes="true", web="INSERT", duty=ALL),
        Protect("gdpr_forwardedrequest", web="SELECT, UPDATE", staff="SELECT", duty=ALL),
        migrations.RunSQL(OF_LINK, NO_LINK),
    ]
