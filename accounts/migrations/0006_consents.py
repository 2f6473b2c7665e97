# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_PERSON, Protect

STANDS = """
CREATE FUNCTION accounts_consent_stands() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.withdrawn_at IS NULL AND to_jsonb(NEW) - '{withdrawn_at,withdrawn_in}'::text[]
            = to_jsonb(OLD) - '{withdrawn_at,withdrawn_in}'::text[] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'of a consent only its end is written, and once';
END
$$;
CREATE TRIGGER consent_stands BEFORE UPDATE ON accounts_consent
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_stands();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_databases_from_before_restriction")]

    operations = [
        migrations.CreateModel(
            name="Consent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("newsletter", "newsletter by e-mail"),
                            ("tracking", "measuring which newsletters are opened and followed"),
                        ],
                        max_length=20,
                        verbose_name="purpose",
                    ),
                ),
                ("version", models.PositiveSmallIntegerField(verbose_name="version of the words")),
                ("language", models.CharField(max_length=2, verbose_name="language")),
                ("digest", models.CharField(max_length=64, verbose_name="digest of the words")),
                (
                    "given_in",
                    models.CharField(
                        choices=[
                            ("sign_up", "when the account was made"),
                            ("profile", "on the profile page"),
                            ("mail", "by the link in a mail"),
                            ("request", "by a request about personal data"),
                            ("staff", "through staff"),
                        ],
                        max_length=10,
                        verbose_name="given",
                    ),
                ),
                ("given_at", models.DateTimeField(verbose_name="given at")),
                ("confirmed_at", models.DateTimeField(verbose_name="confirmed")),
                (
                    "withdrawn_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="withdrawn"),
                ),
                (
                    "withdrawn_in",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("sign_up", "when the account was made"),
                            ("profile", "on the profile page"),
                            ("mail", "by the link in a mail"),
                            ("request", "by a request about personal data"),
                            ("staff", "through staff"),
                        ],
                        max_length=10,
                        verbose_name="withdrawn through",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="consents",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "consent",
                "verbose_name_plural": "consents",
                "ordering": ("-given_at",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("withdrawn_at", None)),
                        fields=("user", "purpose"),
                        name="consent_once_in_force",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("withdrawn_at", None), ("withdrawn_in", "")),
                            models.Q(
                                ("withdrawn_at__isnull", False),
                                models.Q(("withdrawn_in", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="consent_withdrawn_somewhere",
                    ),
                ],
            },
        ),
        Protect(
            "accounts_consent",
            web_rows=f"user_id = {CURRENT_PERSON}",
            web="SELECT, INSERT, UPDATE (withdrawn_at, withdrawn_in)",
            staff="SELECT, UPDATE (withdrawn_at, withdrawn_in)",
            duty="SELECT, INSERT, UPDATE, DELETE",
        ),
        migrations.RunSQL(STANDS, migrations.RunSQL.noop),
    ]
