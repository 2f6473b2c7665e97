# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whoever holds a file may ask whether it is a certificate on file: the answer is yes or no."""

from __future__ import annotations

from django.db import migrations

LOOK_UP = """
CREATE FUNCTION gdpr_is_certificate(digest text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM gdpr_erasure e WHERE e.certificate_digest = digest AND e.state = 'done'
    )
$$;
REVOKE ALL ON FUNCTION gdpr_is_certificate(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gdpr_is_certificate(text) TO web, duty;
"""
FORGET = "DROP FUNCTION gdpr_is_certificate(text)"


class Migration(migrations.Migration):
    dependencies = [("gdpr", "0003_erasure")]

    operations = [migrations.RunSQL(LOOK_UP, FORGET)]
