# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.db import migrations, models

from accounts.rowsecurity import Grant


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_mails_are_read_by_the_worker")]

    operations = [
        migrations.CreateModel(
            name="PromiseResult",
            fields=[
                ("id", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("holds", models.BooleanField(verbose_name="holds")),
                ("seen", models.TextField(verbose_name="seen")),
                ("checked_at", models.DateTimeField(verbose_name="checked")),
            ],
            options={"verbose_name": "promise", "verbose_name_plural": "promises"},
        ),
        Grant(
            "accounts_promiseresult",
            web="SELECT",
            staff="SELECT",
            duty="SELECT, INSERT, UPDATE, DELETE",
        ),
    ]
