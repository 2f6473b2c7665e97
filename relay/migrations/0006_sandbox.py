# SPDX-License-Identifier: AGPL-3.0-or-later
"""Credentials of the sandbox, and on each message what it was accepted as."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("relay", "0005_one_credential_in_use_per_name")]

    operations = [
        migrations.AddField(
            model_name="credential",
            name="mode",
            field=models.CharField(
                verbose_name="mode",
                max_length=10,
                choices=[("live", "live"), ("sandbox", "sandbox")],
                default="live",
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="is_sandbox",
            field=models.BooleanField(verbose_name="sandbox", default=False),
        ),
        migrations.AddField(
            model_name="content",
            name="is_sandbox",
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="state",
            field=models.CharField(
                verbose_name="state",
                max_length=10,
                choices=[
                    ("waiting", "waiting"),
                    ("delivered", "delivered"),
                    ("bounced", "bounced"),
                    ("expired", "expired"),
                    ("cancelled", "cancelled"),
                    ("sandboxed", "sandboxed"),
                ],
                default="waiting",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="final_reason",
            field=models.CharField(
                verbose_name="reason",
                max_length=20,
                choices=[
                    ("", "none"),
                    ("restored", "final before a restore of the database"),
                    ("simulated", "simulated in the sandbox"),
                ],
                default="",
                blank=True,
            ),
        ),
        migrations.AlterField(
            model_name="queueddelivery",
            name="reason",
            field=models.CharField(
                verbose_name="reason",
                max_length=20,
                choices=[
                    ("new", "not tried yet"),
                    ("deferred", "the mail server asked to try later"),
                    ("unreachable", "the mail server could not be reached"),
                    ("tls", "no secure connection to the mail server"),
                    ("sign_in_refused", "the mail server refused user name or password"),
                    ("no_route", "no route is set up"),
                    ("route_paused", "the route is paused"),
                    ("stopped", "sending is stopped for the organisation"),
                    ("uncertain", "the connection broke before the answer"),
                    ("unopened", "this service could not decrypt the message or the route"),
                    (
                        "untold",
                        "it failed, and the notice to its sender could not be stored yet",
                    ),
                    ("simulated", "a deferral simulated in the sandbox"),
                ],
                default="new",
            ),
        ),
    ]
