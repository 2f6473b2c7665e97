# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may see what. Nobody may change bytes, events or what a version is filled with.

`duty` may delete them when their time is up, and forget which account a person had.
"""

from __future__ import annotations

from django.db import migrations

from accounts.rowsecurity import Grant, Protect

KEPT = {"web": "SELECT, INSERT", "staff": "SELECT", "duty": "SELECT, INSERT, DELETE"}

# Whoever holds a file may ask whether it is one of ours: the answer names no customer.
LOOK_UP = """
CREATE FUNCTION dpa_document_for_digest(hash bytea)
RETURNS TABLE (kind text, state text, number integer, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.kind::text, a.state::text, a.number, d.created_at
    FROM dpa_document d JOIN dpa_agreement a ON a.id = d.agreement_id WHERE d.sha256 = hash
$$;
REVOKE ALL ON FUNCTION dpa_document_for_digest(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dpa_document_for_digest(bytea) TO web, duty;
"""


class Migration(migrations.Migration):
    dependencies = [("dpa", "0001_initial"), ("accounts", "0002_row_level_security")]

    operations = [
        Grant("dpa_offeredtext", web="SELECT, INSERT", staff="SELECT", duty="SELECT, INSERT"),
        Protect(
            "dpa_agreement",
            web="SELECT, INSERT, UPDATE (state, signed_at, closed_at)",
            staff="SELECT, UPDATE (released_at, refused_at)",
            duty="SELECT, UPDATE (state, in_force_at, closed_at, signatory_id, contact_id), DELETE",
        ),
        Protect("dpa_document", **KEPT),
        Protect("dpa_agreementevent", **KEPT),
        Protect(
            "dpa_signatory", web="SELECT, INSERT, DELETE", staff="SELECT", duty="SELECT, DELETE"
        ),
        migrations.RunSQL(LOOK_UP, migrations.RunSQL.noop),
    ]
