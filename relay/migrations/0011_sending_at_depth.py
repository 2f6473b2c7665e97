# SPDX-License-Identifier: AGPL-3.0-or-later
"""Routes of three kinds, keys and records of domains, late reports, suppression, figures."""

from __future__ import annotations

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import Grant, Protect
from relay.partitions import CreateDailyPartitioned

ALL = "SELECT, INSERT, UPDATE, DELETE"
ORGANISATION = {"related_name": "+", "to": "accounts.organisation"}
LOG_ORGANISATION = {
    "db_constraint": False,
    "db_index": False,
    "on_delete": django.db.models.deletion.DO_NOTHING,
    **ORGANISATION,
}
CASCADE = django.db.models.deletion.CASCADE

# As in 0002, with the tables that the log has gained; the days that exist get theirs.
DAYS = """
CREATE OR REPLACE FUNCTION relay_create_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    parent text;
    child text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['relay_message', 'relay_delivery', 'relay_attempt',
        'relay_messageheader', 'relay_ending', 'relay_report'] LOOP
        child := parent || to_char(day, '_YYYYMMDD');
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 85)',
            child, parent, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION relay_drop_day(day date) RETURNS void
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
    FOREACH parent IN ARRAY ARRAY['relay_report', 'relay_ending', 'relay_messageheader',
        'relay_attempt', 'relay_delivery', 'relay_message'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', parent || to_char(day, '_YYYYMMDD'));
    END LOOP;
END
$$;
SELECT relay_create_day(to_date(right(c.relname, 8), 'YYYYMMDD')) FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'relay_message'::regclass;
"""

# The portal may neither read secrets nor reports, so Django cannot delete them with what they are
# of: the database does, as their owner.
CASCADES = """
ALTER TABLE relay_dkimsecret ADD CONSTRAINT dkimsecret_of_key
    FOREIGN KEY (key_id) REFERENCES relay_dkimkey (id) ON DELETE CASCADE;
ALTER TABLE relay_espevent ADD CONSTRAINT espevent_of_route
    FOREIGN KEY (route_id) REFERENCES relay_route (id) ON DELETE CASCADE;
ALTER TABLE relay_count SET (fillfactor = 70);
"""

# A provider that reports is nobody's tenant yet: its secret says whose.
HOOK = """
CREATE FUNCTION relay_find_hook(hash bytea)
RETURNS TABLE (route_id uuid, organisation_id uuid, provider text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.id, r.organisation_id, r.provider::text FROM relay_route r WHERE r.hook_hash = hash
$$;
REVOKE ALL ON FUNCTION relay_find_hook(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relay_find_hook(bytea) TO web;
"""
# What was held because much of a domain's mail came back is staff's to let go as well.
STAFF_LIFT = """
ALTER POLICY relay_hold_staff_lifts ON relay_hold USING (reason IN ('over_quota', 'bounces'))
"""
STAFF_LIFT_BEFORE = """
ALTER POLICY relay_hold_staff_lifts ON relay_hold USING (reason = 'over_quota')
"""
# … and what was left alone by one route, whoever changes the route.
WEB_LIFT = """
ALTER POLICY relay_hold_web_lifts ON relay_hold USING (reason IN ('held', 'resting'))
"""
WEB_LIFT_BEFORE = """
ALTER POLICY relay_hold_web_lifts ON relay_hold USING (reason = 'held')
"""
NO_HOOK = "DROP FUNCTION relay_find_hook(bytea)"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_promise_results"),
        ("relay", "0010_portal_writes_peoples_holds"),
    ]

    operations = [
        CreateDailyPartitioned(
            name="Report",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "accepted_at",
                        "message_id",
                        "position",
                        "number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                ("message_id", models.UUIDField()),
                ("position", models.PositiveSmallIntegerField()),
                ("number", models.PositiveSmallIntegerField()),
                ("received_at", models.DateTimeField(verbose_name="received")),
                (
                    "source",
                    models.CharField(
                        choices=[("bounce", "a returned mail"), ("esp", "the mail provider")],
                        max_length=10,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("failed", "not delivered"),
                            ("delayed", "delayed"),
                            ("delivered", "delivered"),
                            ("complained", "reported as unwanted"),
                        ],
                        max_length=12,
                    ),
                ),
                ("scope", models.CharField(blank=True, max_length=15)),
                ("is_hard", models.BooleanField(default=False)),
                ("code", models.PositiveSmallIntegerField(default=0)),
                ("enhanced", models.CharField(blank=True, max_length=12)),
                ("reply", models.TextField(blank=True)),
                ("organisation", models.ForeignKey(**LOG_ORGANISATION)),
            ],
            options={"verbose_name": "late report", "verbose_name_plural": "late reports"},
        ),
        CreateDailyPartitioned(
            name="Ending",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "accepted_at",
                        "message_id",
                        "position",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                ("message_id", models.UUIDField()),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("delivered", "delivered"),
                            ("bounced", "bounced"),
                            ("expired", "expired"),
                            ("cancelled", "cancelled"),
                            ("sandboxed", "sandboxed"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("organisation", models.ForeignKey(**LOG_ORGANISATION)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["organisation", "state", "accepted_at", "message_id"],
                        name="ending_state",
                    )
                ],
            },
        ),
        CreateDailyPartitioned(
            name="MessageHeader",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "accepted_at",
                        "message_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("accepted_at", models.DateTimeField(verbose_name="accepted")),
                ("message_id", models.UUIDField()),
                ("header", models.TextField()),
                ("organisation", models.ForeignKey(**LOG_ORGANISATION)),
            ],
        ),
        migrations.CreateModel(
            name="LogChoice",
            fields=[
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=CASCADE, primary_key=True, serialize=False, **ORGANISATION
                    ),
                ),
                (
                    "profile",
                    models.CharField(
                        choices=[
                            ("minimal", "sender, recipients, times and results"),
                            ("subject", "subject and recipients' names as well"),
                            ("headers", "the whole header as well"),
                        ],
                        default="minimal",
                        max_length=10,
                        verbose_name="kept",
                    ),
                ),
                ("days", models.PositiveSmallIntegerField(default=30, verbose_name="days")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
            ],
            options={
                "verbose_name": "choice of what is logged",
                "verbose_name_plural": "choices of what is logged",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("days__gte", 1)), name="logchoice_within_the_period"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DkimKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("selector", models.CharField(max_length=63, verbose_name="selector")),
                (
                    "algorithm",
                    models.CharField(
                        choices=[("rsa", "RSA-2048"), ("ed25519", "Ed25519")],
                        max_length=10,
                        verbose_name="algorithm",
                    ),
                ),
                ("public", models.TextField(verbose_name="public key")),
                ("created_at", models.DateTimeField(verbose_name="made")),
                ("seen_at", models.DateTimeField(blank=True, null=True, verbose_name="seen first")),
                (
                    "signs_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="signs since"),
                ),
                ("retired_at", models.DateTimeField(blank=True, null=True, verbose_name="retired")),
                (
                    "domain",
                    models.ForeignKey(
                        on_delete=CASCADE,
                        related_name="keys",
                        to="relay.sendingdomain",
                        verbose_name="domain",
                    ),
                ),
                ("organisation", models.ForeignKey(on_delete=CASCADE, **ORGANISATION)),
            ],
            options={"verbose_name": "DKIM key", "verbose_name_plural": "DKIM keys"},
        ),
        migrations.CreateModel(
            name="DkimSecret",
            fields=[
                (
                    "organisation",
                    models.ForeignKey(on_delete=CASCADE, db_index=False, **ORGANISATION),
                ),
                (
                    "key",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="relay.dkimkey",
                    ),
                ),
                ("sealed", models.BinaryField()),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="DomainRecord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("return_path", "return path"),
                            ("spf", "SPF"),
                            ("dkim", "DKIM"),
                            ("dmarc", "DMARC"),
                        ],
                        max_length=15,
                        verbose_name="record",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("unchecked", "not looked for yet"),
                            ("found", "found"),
                            ("missing", "no such record"),
                            ("wrong", "the record holds another value"),
                            ("several", "several records where one may be"),
                            ("unreachable", "the name servers did not answer"),
                            ("weak", "found, but it protects nothing"),
                        ],
                        default="unchecked",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("seen", models.CharField(blank=True, max_length=300, verbose_name="seen")),
                ("checked_at", models.DateTimeField(blank=True, null=True, verbose_name="checked")),
                ("found_at", models.DateTimeField(blank=True, null=True, verbose_name="found")),
                (
                    "domain",
                    models.ForeignKey(
                        on_delete=CASCADE, related_name="records", to="relay.sendingdomain"
                    ),
                ),
                (
                    "key",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=CASCADE,
                        related_name="+",
                        to="relay.dkimkey",
                    ),
                ),
                ("organisation", models.ForeignKey(on_delete=CASCADE, **ORGANISATION)),
            ],
            options={
                "verbose_name": "record of a domain",
                "verbose_name_plural": "records of domains",
            },
        ),
        migrations.CreateModel(
            name="Destination",
            fields=[
                (
                    "name",
                    models.TextField(
                        db_collation="C", primary_key=True, serialize=False, verbose_name="domain"
                    ),
                ),
                ("failures", models.PositiveSmallIntegerField(db_default=0, default=0)),
                (
                    "rest_until",
                    models.DateTimeField(blank=True, null=True, verbose_name="resting until"),
                ),
                ("sts_id", models.CharField(blank=True, db_default="", max_length=32)),
                (
                    "sts_mode",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "none"),
                            ("none", "none"),
                            ("testing", "testing"),
                            ("enforce", "enforce"),
                        ],
                        db_default="",
                        max_length=10,
                        verbose_name="MTA-STS",
                    ),
                ),
                (
                    "sts_mx",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                    ),
                ),
                ("sts_fetched_at", models.DateTimeField(blank=True, null=True)),
                ("sts_expires_at", models.DateTimeField(blank=True, null=True)),
                ("sts_checked_at", models.DateTimeField(blank=True, null=True)),
                ("used_on", models.DateField(verbose_name="used")),
            ],
            options={
                "verbose_name": "destination",
                "verbose_name_plural": "destinations",
                "indexes": [models.Index(fields=["used_on"], name="destination_used")],
            },
        ),
        migrations.CreateModel(
            name="EspEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("received_at", models.DateTimeField()),
                ("sealed", models.BinaryField()),
                ("organisation", models.ForeignKey(on_delete=CASCADE, **ORGANISATION)),
                (
                    "route",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="relay.route",
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("address_hash", models.BinaryField()),
                ("address", models.TextField(blank=True, null=True, verbose_name="address")),
                ("address_until", models.DateTimeField(blank=True, null=True)),
                (
                    "domain",
                    models.TextField(blank=True, db_collation="C", verbose_name="domain"),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("hard_bounce", "the address does not exist"),
                            ("complaint", "the recipient reported mail as unwanted"),
                            ("by_person", "added by you"),
                            ("imported", "imported by you"),
                            ("objection", "the recipient objected"),
                        ],
                        max_length=15,
                        verbose_name="reason",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                (
                    "hits",
                    models.PositiveIntegerField(
                        db_default=0, default=0, verbose_name="mails that came back"
                    ),
                ),
                ("organisation", models.ForeignKey(on_delete=CASCADE, **ORGANISATION)),
            ],
            options={"verbose_name": "suppression", "verbose_name_plural": "suppressions"},
        ),
        migrations.CreateModel(
            name="Count",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "organisation_id",
                        "span",
                        "starts_at",
                        "domain",
                        "part",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "span",
                    models.PositiveSmallIntegerField(
                        choices=[(5, "Five Minutes"), (60, "Hour"), (1440, "Day")]
                    ),
                ),
                ("starts_at", models.DateTimeField(verbose_name="from")),
                (
                    "domain",
                    models.TextField(blank=True, db_collation="C", verbose_name="domain"),
                ),
                ("part", models.PositiveSmallIntegerField()),
                *(
                    (
                        name,
                        models.PositiveBigIntegerField(db_default=0, default=0, verbose_name=words),
                    )
                    for name, words in (
                        ("messages", "mails"),
                        ("octets", "octets"),
                        ("accepted", "accepted"),
                        ("delivered", "delivered"),
                        ("deferred", "put off"),
                        ("bounced_hard", "no such address"),
                        ("bounced_soft", "refused"),
                        ("blocked", "refused by policy"),
                        ("expired", "given up"),
                        ("cancelled", "cancelled"),
                        ("sandboxed", "sandbox"),
                        ("returned", "came back later"),
                        ("returned_hard", "no such address"),
                        ("complained", "reported"),
                    )
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=CASCADE, **ORGANISATION
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="Review",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("domain", models.TextField(db_collation="C", verbose_name="domain")),
                ("opened_at", models.DateTimeField(verbose_name="stopped")),
                ("done", models.PositiveIntegerField(verbose_name="deliveries that ended")),
                ("hard", models.PositiveIntegerField(verbose_name="no such address")),
                (
                    "asked_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="a person was asked for"
                    ),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided")),
                (
                    "decision",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "not decided"),
                            ("resumed", "sending goes on"),
                            ("kept", "sending stays stopped"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="decision",
                    ),
                ),
                ("organisation", models.ForeignKey(on_delete=CASCADE, **ORGANISATION)),
            ],
            options={
                "verbose_name": "pause to be looked at",
                "verbose_name_plural": "pauses to be looked at",
            },
        ),
        migrations.AddField(
            model_name="message",
            name="profile",
            field=models.CharField(db_default="minimal", default="minimal", max_length=10),
        ),
        migrations.AddField(
            model_name="message",
            name="subject",
            field=models.TextField(blank=True, db_default="", verbose_name="subject"),
        ),
        migrations.AddField(
            model_name="message",
            name="header_hash",
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name="delivery",
            name="display_name",
            field=models.TextField(blank=True, db_default="", verbose_name="name"),
        ),
        migrations.AddField(
            model_name="delivery",
            name="tells_failure",
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="tls_demand",
            field=models.CharField(blank=True, db_default="", max_length=15),
        ),
        migrations.AddField(
            model_name="attempt",
            name="tls_result",
            field=models.CharField(blank=True, db_default="", max_length=15),
        ),
        migrations.AddField(
            model_name="attempt",
            name="kind",
            field=models.CharField(blank=True, db_default="", max_length=10),
        ),
        migrations.AddField(
            model_name="attempt",
            name="scope",
            field=models.CharField(blank=True, db_default="", max_length=15),
        ),
        migrations.AddField(
            model_name="attempt",
            name="is_hard",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="content",
            name="tls_optional",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="sendingdomain",
            name="return_path",
            field=models.CharField(db_default="bounce", default="bounce", max_length=63),
        ),
        migrations.AddField(
            model_name="sendingdomain",
            name="checks",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="route",
            name="kind",
            field=models.CharField(
                choices=[
                    ("own", "own mail server"),
                    ("direct", "straight to the recipients' mail servers"),
                    ("esp", "a mail provider's interface"),
                ],
                db_default="own",
                default="own",
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="provider",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "none"),
                    ("mailgun_eu", "Mailgun (EU)"),
                    ("mailgun_us", "Mailgun (US)"),
                    ("postmark", "Postmark"),
                    ("brevo", "Brevo"),
                    ("mailjet", "Mailjet"),
                    ("sparkpost_eu", "SparkPost (EU)"),
                ],
                db_default="",
                default="",
                max_length=20,
                verbose_name="provider",
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="provider_domain",
            field=models.CharField(
                blank=True, db_default="", max_length=253, verbose_name="domain at the provider"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="takes_over",
            field=models.BooleanField(db_default=True, default=True, verbose_name="takes over"),
        ),
        migrations.AddField(
            model_name="route",
            name="worked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="worked"),
        ),
        migrations.AddField(
            model_name="route",
            name="failed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="failed"),
        ),
        migrations.AddField(
            model_name="route",
            name="failed_code",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, verbose_name="answer when it failed"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="failed_enhanced",
            field=models.CharField(
                blank=True, db_default="", max_length=12, verbose_name="status when it failed"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="failed_stage",
            field=models.CharField(
                blank=True, db_default="", max_length=10, verbose_name="stage when it failed"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="hook_hash",
            field=models.BinaryField(blank=True, null=True, unique=True),
        ),
        migrations.AddField(
            model_name="route",
            name="hook_made_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="route",
            name="hook_seen_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="route",
            name="host",
            field=models.CharField(blank=True, max_length=253, verbose_name="host"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="final_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "none"),
                    ("restored", "final before a restore of the database"),
                    ("simulated", "simulated in the sandbox"),
                    ("by_person", "cancelled by somebody in the organisation"),
                    ("closed", "the customer's account was closed"),
                    (
                        "suppressed",
                        "not sent: the address is on your list of addresses that get no mail",
                    ),
                    ("returned", "was taken by the recipient's server and came back later"),
                ],
                default="",
                max_length=20,
                verbose_name="reason",
            ),
        ),
        migrations.AlterField(
            model_name="queueddelivery",
            name="reason",
            field=models.CharField(
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
                    ("untold", "it failed, and the notice to its sender could not be stored yet"),
                    ("simulated", "a deferral simulated in the sandbox"),
                    ("held", "held back by somebody in the organisation"),
                    ("resting", "the mail server could not be reached and is left alone a while"),
                    ("over_quota", "the organisation has sent as much as it may for now"),
                    ("paced", "the route has carried as much as it may for now"),
                    ("quarantined", "set aside, because this service failed at it repeatedly"),
                    ("bounces", "held: too much mail from this domain came back"),
                    (
                        "recipient_tls",
                        "the recipient's domain demands encryption that its server did not offer",
                    ),
                    ("suppressed", "the address is on your list of addresses that get no mail"),
                ],
                default="new",
                max_length=20,
                verbose_name="reason",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="reason",
            field=models.CharField(
                choices=[
                    ("held", "held back by somebody in the organisation"),
                    ("over_quota", "the organisation has sent as much as it may for now"),
                    ("paced", "the route has carried as much as it may for now"),
                    ("bounces", "held: too much mail from this domain came back"),
                    ("resting", "the mail server could not be reached and is left alone a while"),
                ],
                default="held",
                max_length=20,
                verbose_name="reason",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                fields=["organisation", "sender", "accepted_at"],
                name="message_sender",
                opclasses=["uuid_ops", "text_pattern_ops", "timestamptz_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                fields=["organisation", "credential_id", "accepted_at", "id"],
                name="message_credential",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("header_hash__isnull", False)),
                fields=["organisation", "header_hash"],
                name="message_header",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("possible_duplicate", True)),
                fields=["organisation", "accepted_at", "message_id"],
                name="delivery_possible_duplicate",
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                fields=["organisation", "created_at", "id"], name="suppression_newest"
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=models.Q(("address__isnull", False)),
                fields=["address_until"],
                name="suppression_address_until",
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)),
                fields=["expires_at"],
                name="suppression_expires",
            ),
        ),
        migrations.AddConstraint(
            model_name="route",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "own"), models.Q(("host", ""), _negated=True)),
                    models.Q(
                        ("host", ""), ("kind", "direct"), ("sealed_secret", b""), ("username", "")
                    ),
                    models.Q(
                        ("kind", "esp"),
                        models.Q(("provider", ""), _negated=True),
                        models.Q(("sealed_secret", b""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="route_complete",
            ),
        ),
        migrations.AddConstraint(
            model_name="dkimkey",
            constraint=models.UniqueConstraint(
                fields=("domain", "selector"), name="dkimkey_selector"
            ),
        ),
        migrations.AddConstraint(
            model_name="dkimkey",
            constraint=models.UniqueConstraint(
                condition=models.Q(("retired_at", None), ("signs_since__isnull", False)),
                fields=("domain", "algorithm"),
                name="dkimkey_one_signs",
            ),
        ),
        migrations.AddConstraint(
            model_name="domainrecord",
            constraint=models.UniqueConstraint(
                fields=("domain", "kind", "key"), name="domainrecord_once", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.UniqueConstraint(
                fields=("organisation", "address_hash", "domain"), name="suppression_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="review",
            constraint=models.UniqueConstraint(
                condition=models.Q(("decided_at", None)),
                fields=("organisation", "domain"),
                name="review_one_open",
            ),
        ),
        migrations.RunSQL(DAYS, migrations.RunSQL.noop),
        migrations.RunSQL(CASCADES, migrations.RunSQL.noop),
        migrations.RunSQL(HOOK, NO_HOOK),
        migrations.RunSQL(STAFF_LIFT, STAFF_LIFT_BEFORE),
        migrations.RunSQL(WEB_LIFT, WEB_LIFT_BEFORE),
        Protect(
            "relay_report",
            web="SELECT",
            staff="SELECT",
            relay="SELECT, INSERT, UPDATE",
            duty="SELECT, INSERT, UPDATE, DELETE",
        ),
        Protect("relay_ending", web="SELECT", staff="SELECT", relay=ALL, duty=ALL),
        # Staff never read what a mail says.
        Protect("relay_messageheader", web="SELECT", relay="SELECT, INSERT", duty="SELECT, DELETE"),
        Protect(
            "relay_logchoice",
            web="SELECT, INSERT, UPDATE",
            staff="SELECT",
            relay="SELECT",
            duty=ALL,
        ),
        Protect("relay_dkimkey", web=ALL, staff="SELECT", relay="SELECT", duty=ALL),
        Protect("relay_dkimsecret", web="INSERT", relay="SELECT", duty="SELECT, DELETE"),
        Protect("relay_domainrecord", web=ALL, staff="SELECT", relay="SELECT", duty=ALL),
        Grant("relay_destination", staff="SELECT", relay=ALL, duty="SELECT, DELETE"),
        Protect("relay_espevent", web="INSERT", relay="SELECT, DELETE", duty="SELECT, DELETE"),
        Protect(
            "relay_suppression",
            web=ALL,
            staff="SELECT",
            relay="SELECT, INSERT, UPDATE",
            duty=ALL,
        ),
        Protect(
            "relay_count",
            web="SELECT",
            staff="SELECT",
            relay="SELECT, INSERT, UPDATE",
            duty=ALL,
        ),
        Protect(
            "relay_review",
            # Who is concerned asks; staff alone decide.
            web="SELECT, UPDATE (asked_at)",
            staff="SELECT, UPDATE",
            relay="SELECT",
            duty=ALL,
        ),
    ]
