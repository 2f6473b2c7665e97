# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may see what, and the two functions that make and drop a day of the log."""

from __future__ import annotations

from django.db import migrations

from accounts.rowsecurity import Grant, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
LOG = {
    "web": "SELECT",
    "staff": "SELECT",
    "relay": "SELECT, INSERT, UPDATE",
    "duty": "SELECT, UPDATE, DELETE",
}

# Partitions do not inherit row-level security; nobody gets a grant on one.
DAYS = """
CREATE FUNCTION relay_create_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    parent text;
    child text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['relay_message', 'relay_delivery', 'relay_attempt'] LOOP
        child := parent || to_char(day, '_YYYYMMDD');
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 85)',
            child, parent, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
    END LOOP;
END
$$;
CREATE FUNCTION relay_drop_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    period interval := (SELECT make_interval(days => days) FROM relay_logperiod);
    oldest timestamptz := (day::text || ' 00:00+00')::timestamptz;
    parent text;
BEGIN
    -- Goes in the hour before its oldest row reaches the period; no period, no drop.
    IF period IS NULL OR now() < oldest + period - interval '1 hour' THEN
        RAISE EXCEPTION 'the day is inside the period of the log';
    END IF;
    IF EXISTS (SELECT FROM relay_queueddelivery
               WHERE accepted_at >= oldest AND accepted_at < oldest + interval '1 day') THEN
        RAISE EXCEPTION 'the day has mail that is not final';
    END IF;
    FOREACH parent IN ARRAY ARRAY['relay_attempt', 'relay_delivery', 'relay_message'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', parent || to_char(day, '_YYYYMMDD'));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION relay_create_day(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION relay_drop_day(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relay_create_day(date) TO duty;
GRANT EXECUTE ON FUNCTION relay_drop_day(date) TO duty;
"""

# One figure for the readiness page, which is nobody's tenant: seconds the oldest due mail stands.
QUEUE_AGE = """
CREATE FUNCTION relay_queue_age() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT greatest(0, coalesce(extract(epoch FROM now() - min(due_at)), 0))::integer
    FROM relay_queueddelivery
$$;
REVOKE ALL ON FUNCTION relay_queue_age() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relay_queue_age() TO web;
"""

# Sealed bytes do not compress, and a lease must not copy a row to another page.
STORAGE = """
ALTER TABLE relay_content ALTER COLUMN ciphertext SET STORAGE EXTERNAL;
ALTER TABLE relay_queueddelivery SET (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000
);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("relay", "0001_initial"),
        ("accounts", "0002_row_level_security"),
    ]

    operations = [
        Protect(
            "relay_credential",
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, UPDATE",
            relay="SELECT, UPDATE",
            duty=ALL,
        ),
        Protect("relay_sendingdomain", web=ALL, staff="SELECT", relay="SELECT", duty=ALL),
        Protect("relay_route", web=ALL, staff="SELECT", relay="SELECT, UPDATE", duty=ALL),
        Protect("relay_message", **LOG),
        Protect("relay_delivery", **LOG),
        Protect("relay_attempt", **LOG),
        # The portal and staff never read content: they have no grant at all.
        Protect("relay_content", relay=ALL, duty="SELECT, DELETE"),
        Protect("relay_queueddelivery", web="SELECT, UPDATE", staff="SELECT", relay=ALL, duty=ALL),
        Grant("relay_hourkey", relay="SELECT, INSERT, UPDATE", duty="SELECT"),
        Grant("relay_logperiod", web="SELECT", staff="SELECT", relay="SELECT", duty="SELECT"),
        migrations.RunSQL(DAYS, migrations.RunSQL.noop),
        migrations.RunSQL(QUEUE_AGE, migrations.RunSQL.noop),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
