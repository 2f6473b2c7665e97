# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail with the null reverse-path is routed by the domain of its author."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("relay", "0003_pauses_told_and_old_hour_keys")]

    operations = [
        migrations.AddField(
            model_name="content",
            name="author_domain",
            field=models.TextField(blank=True, default=""),
            preserve_default=False,
        ),
    ]
