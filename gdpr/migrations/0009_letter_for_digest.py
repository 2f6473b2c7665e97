# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whoever holds a file may ask whether it is a letter on file: the answer is yes or no."""

from __future__ import annotations

from django.db import migrations, models

LOOK_UP = """
CREATE FUNCTION gdpr_is_letter(digest text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM gdpr_letter l WHERE l.sha256 = digest)
$$;
REVOKE ALL ON FUNCTION gdpr_is_letter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gdpr_is_letter(text) TO web, duty;
"""
FORGET = "DROP FUNCTION gdpr_is_letter(text)"


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0008_correspondents")]

    operations = [
        # A check looks for each place where a revision of the file may end.
        migrations.AlterField(
            model_name="letter",
            name="sha256",
            field=models.CharField(db_index=True, max_length=64),
        ),
        migrations.RunSQL(LOOK_UP, FORGET),
    ]
