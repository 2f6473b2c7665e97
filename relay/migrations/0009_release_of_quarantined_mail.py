# SPDX-License-Identifier: AGPL-3.0-or-later
"""Staff let mail go that was set aside; the queue itself they only read."""

from __future__ import annotations

from django.db import migrations

# One message, whole: nothing else of the row can be written in this way. What is due at its end
# already is left to that end.
RELEASE = """
CREATE FUNCTION relay_release_quarantined(message uuid, released_at timestamptz) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH released AS (
        UPDATE relay_queueddelivery SET strikes = 0, begun_at = NULL, lane = 1,
            due_at = released_at, reason = CASE WHEN attempts = 0 THEN 'new' ELSE 'deferred' END
        WHERE message_id = message AND reason = 'quarantined' AND cancelled_at IS NULL
            AND lease_owner IS NULL AND expires_at > released_at
        RETURNING 1
    )
    SELECT count(*)::integer FROM released
$$;
REVOKE ALL ON FUNCTION relay_release_quarantined(uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relay_release_quarantined(uuid, timestamptz) TO staff;
"""
REMOVE = "DROP FUNCTION relay_release_quarantined(uuid, timestamptz)"


class Migration(migrations.Migration):
    dependencies = [("relay", "0008_who_may_send")]

    operations = [migrations.RunSQL(RELEASE, REMOVE)]
