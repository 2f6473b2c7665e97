# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses whose data are kept and not used, and what the portal cannot read of the log then."""

from __future__ import annotations

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from accounts.rowsecurity import CURRENT_ORGANISATION, Protect

# Messages whose sender is restricted, or one of whose recipients is (`every`: each of them is). The
# log hides just these rows, so this looks at it as its owner does, in the tenant's own rows alone.
# In PL/pgSQL, whose plans last: planning all days for each query would cost more than the query.
# Address by address, along the indexes, whatever the planner knows of the sizes. A message is in
# one day's partition with its deliveries, so that both are told by the same instant.
MESSAGES = f"""
CREATE FUNCTION relay_restricted_messages(every boolean) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    tenant uuid := {CURRENT_ORGANISATION};
    found text[] := (SELECT array_agg(spelling) FROM relay_restriction, unnest(spellings) spelling
        WHERE organisation_id = tenant AND lifted_at IS NULL);
BEGIN
    IF found IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT m.id FROM relay_message m WHERE m.organisation_id = tenant AND m.sender = ANY(found);
    RETURN QUERY
        SELECT d.message_id FROM relay_delivery d
        WHERE d.organisation_id = tenant AND d.recipient = ANY(found) AND (NOT every OR NOT EXISTS (
            SELECT FROM relay_delivery o WHERE o.accepted_at = d.accepted_at
                AND o.message_id = d.message_id AND o.recipient <> ALL(found)));
END
$$;
REVOKE ALL ON FUNCTION relay_restricted_messages(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relay_restricted_messages(boolean) TO web;
"""  # noqa: S608 - constants
# Restrictive, so AND-ed to the tenant's own: no query, however it is written, gets such a row, and
# none that reads others loses its index. Looked up once for each statement. What a mail says of
# several people is hidden for the sake of one of them.
HIDDEN = """
CREATE POLICY relay_delivery_restricted ON relay_delivery AS RESTRICTIVE FOR SELECT TO web
USING (recipient NOT IN (SELECT unnest(spellings) FROM relay_restriction WHERE lifted_at IS NULL));
CREATE POLICY relay_message_restricted ON relay_message AS RESTRICTIVE FOR SELECT TO web
USING (id NOT IN (SELECT relay_restricted_messages(true)));
CREATE POLICY relay_messageheader_restricted ON relay_messageheader
AS RESTRICTIVE FOR SELECT TO web
USING (message_id NOT IN (SELECT relay_restricted_messages(false)));
CREATE POLICY relay_suppression_restricted ON relay_suppression AS RESTRICTIVE FOR SELECT TO web
USING (address_hash NOT IN (SELECT address_hash FROM relay_restriction WHERE lifted_at IS NULL));
"""
SHOWN = """
DROP POLICY relay_suppression_restricted ON relay_suppression;
DROP POLICY relay_messageheader_restricted ON relay_messageheader;
DROP POLICY relay_message_restricted ON relay_message;
DROP POLICY relay_delivery_restricted ON relay_delivery;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_databases_from_before_restriction"),
        ("relay", "0011_sending_at_depth"),
    ]

    operations = [
        migrations.CreateModel(
            name="Restriction",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("address_hash", models.BinaryField()),
                ("address", models.TextField(blank=True, null=True, verbose_name="address")),
                (
                    "spellings",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, null=True, size=None
                    ),
                ),
                ("address_until", models.DateTimeField(blank=True, null=True)),
                (
                    "ground",
                    models.CharField(
                        choices=[
                            ("accuracy", "the person says that the data are wrong"),
                            (
                                "unlawful",
                                "the use is unlawful, and the person wants no erasure",
                            ),
                            ("claims", "the person needs the data for a legal claim"),
                            ("objection", "the person objected, and that is being looked at"),
                        ],
                        max_length=10,
                        verbose_name="why",
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        choices=[
                            ("organisation", "somebody in the organisation"),
                            ("request", "a request that was forwarded to you"),
                        ],
                        default="organisation",
                        max_length=15,
                        verbose_name="by",
                    ),
                ),
                ("restricted_at", models.DateTimeField(verbose_name="since")),
                (
                    "told_on",
                    models.DateField(blank=True, null=True, verbose_name="the person was told"),
                ),
                ("lifted_at", models.DateTimeField(blank=True, null=True, verbose_name="lifted")),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={"verbose_name": "restriction", "verbose_name_plural": "restrictions"},
        ),
        migrations.AddIndex(
            model_name="restriction",
            index=models.Index(
                condition=models.Q(("address__isnull", False)),
                fields=["address_until"],
                name="restriction_address_until",
            ),
        ),
        migrations.AddConstraint(
            model_name="restriction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("lifted_at", None)),
                fields=("organisation", "address_hash"),
                name="restriction_one_in_force",
            ),
        ),
        migrations.AddConstraint(
            model_name="restriction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("lifted_at", None), ("told_on__isnull", False), _connector="OR"
                ),
                name="restriction_told_before_lifted",
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
                    ("restricted", "kept back: the use of an address is restricted"),
                    ("suppressed", "the address is on your list of addresses that get no mail"),
                ],
                default="new",
                max_length=20,
                verbose_name="reason",
            ),
        ),
        Protect(
            "relay_restriction",
            web="SELECT, INSERT, UPDATE",
            relay="SELECT",
            duty="SELECT, UPDATE, DELETE",
        ),
        migrations.RunSQL(MESSAGES, "DROP FUNCTION relay_restricted_messages(boolean)"),
        migrations.RunSQL(HIDDEN, SHOWN),
    ]
