# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("relay", "0004_author_domain")]

    operations = [
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.UniqueConstraint(
                name="credential_one_in_use_per_name",
                fields=["organisation", "name"],
                condition=models.Q(revoked_at=None),
            ),
        ),
    ]
