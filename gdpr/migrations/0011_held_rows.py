# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an erasure had to leave, row by row, and the second certificate when it is gone."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import Grant, Protect

LOOK_UP = """
DROP FUNCTION gdpr_certificate_for_token(bytea);
CREATE FUNCTION gdpr_certificate_for_token(hash bytea)
RETURNS TABLE (
    erasure_id uuid, ended_at timestamptz, certificate bytea,
    completed_at timestamptz, completion bytea, kept_until date
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.id, e.ended_at, e.certificate, e.completed_at, e.completion,
        (SELECT max(h.until_on) FROM gdpr_heldrow h WHERE h.erasure_id = e.id AND h.done_at IS NULL
         HAVING count(*) = count(h.until_on))
    FROM gdpr_erasure e
    WHERE e.token_hash = hash AND e.state = 'done'
$$;
REVOKE ALL ON FUNCTION gdpr_certificate_for_token(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gdpr_certificate_for_token(bytea) TO web;
CREATE OR REPLACE FUNCTION gdpr_is_certificate(digest text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM gdpr_erasure e
        WHERE digest IN (e.certificate_digest, e.completion_digest) AND e.state = 'done'
    )
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0010_requests_by_every_channel")]

    operations = [
        migrations.AddField(
            model_name="erasure",
            name="completed_at",
            field=models.DateTimeField(null=True, verbose_name="completed"),
        ),
        migrations.AddField(
            model_name="erasure",
            name="completion",
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name="erasure",
            name="completion_digest",
            field=models.CharField(blank=True, max_length=64, default=""),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="erasure",
            name="right",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="erasure",
                to="gdpr.requestedright",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("completed_at", None),
                    ("completed_at__gte", models.F("ended_at")),
                    _connector="OR",
                ),
                name="erasure_completed_after_its_end",
            ),
        ),
        migrations.CreateModel(
            name="HeldRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=80, verbose_name="table")),
                ("key", models.CharField(max_length=80)),
                (
                    "law",
                    models.CharField(
                        choices=[
                            ("bookkeeping", "Danish Bookkeeping Act, section 12"),
                            (
                                "limitation",
                                "Danish Limitation Act, section 3, and Danish Data Protection Act,"
                                " section 41",
                            ),
                            ("contract", "the agreement with the customer"),
                        ],
                        max_length=20,
                        verbose_name="by which law",
                    ),
                ),
                ("until_on", models.DateField(null=True, verbose_name="kept until")),
                ("done_at", models.DateTimeField(null=True, verbose_name="done")),
                (
                    "erasure",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="held",
                        to="gdpr.erasure",
                    ),
                ),
            ],
            options={"ordering": ("id",)},
        ),
        migrations.AddConstraint(
            model_name="heldrow",
            constraint=models.UniqueConstraint(
                fields=("erasure", "model", "key"), name="heldrow_once"
            ),
        ),
        Protect("gdpr_heldrow", staff="SELECT", duty="SELECT, INSERT, UPDATE, DELETE"),
        Grant("gdpr_erasure", staff="UPDATE (completed_at)"),
        migrations.RunSQL(LOOK_UP, migrations.RunSQL.noop),
    ]
