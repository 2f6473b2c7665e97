# SPDX-License-Identifier: AGPL-3.0-or-later
"""A letter waits as a draft for its seal; staff can have a stuck erasure of an address go on."""

from __future__ import annotations

from django.db import migrations, models

from accounts.rowsecurity import Grant


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0012_restriction_and_notices")]

    operations = [
        migrations.AddField(
            model_name="letter",
            name="due_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="letter",
            name="sealed_draft",
            field=models.BinaryField(null=True),
        ),
        migrations.AlterField(
            model_name="letter",
            name="sealed",
            field=models.BinaryField(null=True),
        ),
        migrations.AlterField(
            model_name="letter",
            name="sha256",
            field=models.CharField(blank=True, db_index=True, max_length=64),
        ),
        migrations.AddIndex(
            model_name="letter",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="letter_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="letter",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("due_at__isnull", False),
                        ("sealed__isnull", True),
                        ("sealed_draft__isnull", False),
                        ("sha256", ""),
                    ),
                    models.Q(
                        models.Q(("sha256", ""), _negated=True),
                        ("due_at", None),
                        ("sealed__isnull", False),
                        ("sealed_draft__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="letter_waits_or_has_left",
            ),
        ),
        Grant("gdpr_addresserasure", staff="SELECT, UPDATE (due_at)"),
    ]
