# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which pause of a route its people were told of; and the worker may forget old hour keys."""

from __future__ import annotations

from django.db import migrations, models

from accounts.rowsecurity import Grant


class Migration(migrations.Migration):
    dependencies = [("relay", "0002_row_level_security")]

    operations = [
        migrations.AddField(
            model_name="route",
            name="pause_told_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        Grant("relay_hourkey", duty="DELETE"),
    ]
