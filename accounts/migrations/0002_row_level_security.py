# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may see what, and the named look-ups that precede a tenant."""

from __future__ import annotations

from django.db import migrations

from accounts.rowsecurity import CURRENT_ORGANISATION, CURRENT_PERSON, Grant, Protect

ALL = "SELECT, INSERT, UPDATE, DELETE"
COLLEAGUE = (
    "EXISTS (SELECT FROM accounts_membership m WHERE m.user_id = {column}"
    f" AND m.organisation_id = {CURRENT_ORGANISATION})"
)
OWN_ROW = f"user_id = {CURRENT_PERSON}"

# Sign-in knows only an address, an invitation only a token: each look-up gives back ids, no more.
LOOK_UPS = """
CREATE FUNCTION accounts_person_for_email(address text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id FROM accounts_user WHERE email = lower(address)
$$;
CREATE FUNCTION accounts_invitation_for_token(hash bytea)
RETURNS TABLE (invitation_id uuid, organisation_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT i.id, i.organisation_id FROM accounts_invitation i WHERE i.token_hash = hash
$$;
-- Colleagues must not see each other's keys; the team's page says only who has a second factor.
CREATE FUNCTION accounts_members_with_second_factor() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.user_id FROM accounts_membership m JOIN accounts_totpdevice d ON d.user_id = m.user_id
    WHERE d.confirmed
    AND m.organisation_id = nullif(current_setting('app.organisation', true), '')::uuid
$$;
REVOKE ALL ON FUNCTION accounts_members_with_second_factor() FROM PUBLIC;
REVOKE ALL ON FUNCTION accounts_person_for_email(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION accounts_invitation_for_token(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts_person_for_email(text) TO web, staff, duty;
GRANT EXECUTE ON FUNCTION accounts_invitation_for_token(bytea) TO web;
GRANT EXECUTE ON FUNCTION accounts_members_with_second_factor() TO web;
"""

# The digest covers the previous digest and every column, joined by a separator that the checked
# inputs cannot hold; `verify_audit` computes the same in Python.
#
# The portal and staff speak for whoever is signed in, in the organisation of the context and now;
# before a sign-in they speak for nobody. `duty` records what the service itself did.
AUDIT = """
CREATE FUNCTION accounts_audit_tolerance() RETURNS interval
LANGUAGE sql STABLE AS $$ SELECT interval '5 minutes' $$;
REVOKE ALL ON FUNCTION accounts_audit_tolerance() FROM PUBLIC;

CREATE FUNCTION accounts_audit_append(
    organisation uuid, actor uuid, act text, kind text, target text, field_names text[],
    happened_at timestamptz
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    context text := nullif(current_setting('app.organisation', true), '');
    person text := nullif(current_setting('app.person', true), '');
    -- In a SECURITY DEFINER function only this setting still tells a SET ROLE of the caller.
    caller text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    head accounts_auditchain%ROWTYPE;
    fresh bytea;
    line text;
BEGIN
    IF organisation IS NOT NULL AND context IS NOT NULL AND organisation::text <> context THEN
        RAISE EXCEPTION 'audit of another organisation than the current one';
    END IF;
    IF caller = 'web' AND organisation IS NOT NULL AND context IS NULL THEN
        RAISE EXCEPTION 'audit of an organisation outside its context';
    END IF;
    IF caller IN ('web', 'staff') THEN
        IF abs(extract(epoch FROM happened_at - clock_timestamp()))
                > extract(epoch FROM accounts_audit_tolerance()) THEN
            RAISE EXCEPTION 'audit at another time than now';
        END IF;
        IF actor IS NULL AND person IS NOT NULL
            OR actor IS NOT NULL AND NOT EXISTS (
                SELECT FROM accounts_auditactor a WHERE a.id = actor AND a.user_id::text = person
                    AND a.organisation_id IS NOT DISTINCT FROM organisation)
        THEN
            RAISE EXCEPTION 'audit in the name of another than who is signed in';
        END IF;
    END IF;
    IF concat(act, kind, target, array_to_string(field_names, '')) !~ '^[A-Za-z0-9._:-]*$' THEN
        RAISE EXCEPTION 'audit takes names and ids only';
    END IF;
    INSERT INTO accounts_auditchain (organisation_id, head_sequence, head_digest)
        VALUES (organisation, 0, ''::bytea) ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM accounts_auditchain
        WHERE organisation_id IS NOT DISTINCT FROM organisation FOR UPDATE;
    line := concat_ws('|', head.head_sequence + 1, coalesce(organisation::text, '-'),
        to_char(happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        coalesce(actor::text, '-'), act, kind, target, array_to_string(field_names, ','));
    fresh := sha256(head.head_digest || convert_to(line, 'UTF8'));
    INSERT INTO accounts_auditevent (organisation_id, sequence, at, actor_id, action, target_type,
            target_id, fields, previous_digest, digest)
        VALUES (organisation, head.head_sequence + 1, happened_at, actor, act, kind, target,
            field_names, head.head_digest, fresh);
    UPDATE accounts_auditchain SET head_sequence = head.head_sequence + 1, head_digest = fresh
        WHERE id = head.id;
    RETURN head.head_sequence + 1;
END
$$;
REVOKE ALL ON FUNCTION accounts_audit_append(uuid, uuid, text, text, text, text[], timestamptz)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts_audit_append(uuid, uuid, text, text, text, text[], timestamptz)
    TO web, staff, duty;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        Protect(
            "accounts_user",
            web_rows=f"id = {CURRENT_PERSON} OR " + COLLEAGUE.format(column="accounts_user.id"),
            web_writes=f"id = {CURRENT_PERSON}",
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, INSERT, UPDATE",
            duty=ALL,
        ),
        Protect(
            "accounts_organisation",
            web_rows=(
                f"id = {CURRENT_ORGANISATION} OR EXISTS (SELECT FROM accounts_membership m"
                f" WHERE m.organisation_id = accounts_organisation.id"
                f" AND m.user_id = {CURRENT_PERSON})"
            ),
            web_writes=f"id = {CURRENT_ORGANISATION}",
            web="SELECT, INSERT, UPDATE",
            staff="SELECT, UPDATE",
            relay="SELECT",
            duty=ALL,
        ),
        Protect(
            "accounts_membership",
            web_rows=f"organisation_id = {CURRENT_ORGANISATION} OR {OWN_ROW}",
            web_writes=f"organisation_id = {CURRENT_ORGANISATION}",
            web=ALL,
            staff="SELECT",
            duty=ALL,
        ),
        Protect("accounts_invitation", web=ALL, staff="SELECT", duty=ALL),
        Protect(
            "accounts_organisationkey",
            web="SELECT, INSERT",
            relay="SELECT",
            duty=ALL,
        ),
        Protect("accounts_totpdevice", web_rows=OWN_ROW, web=ALL, staff="SELECT, UPDATE", duty=ALL),
        Protect(
            "accounts_backupcodedevice", web_rows=OWN_ROW, web=ALL, staff="SELECT, UPDATE", duty=ALL
        ),
        Protect("accounts_backupcode", web_rows=OWN_ROW, web=ALL, staff="SELECT, UPDATE", duty=ALL),
        Protect("accounts_auditevent", web="SELECT", staff="SELECT", duty="SELECT, DELETE"),
        Protect("accounts_auditchain", web="SELECT", staff="SELECT", duty="SELECT"),
        Protect(
            "accounts_auditcheckpoint", web="SELECT", staff="SELECT", duty="SELECT, INSERT, DELETE"
        ),
        Protect(
            "accounts_auditactor",
            web_rows=f"organisation_id = {CURRENT_ORGANISATION} OR {OWN_ROW}",
            web="SELECT, INSERT",
            staff="SELECT, INSERT",
            duty=ALL,
        ),
        # A mail to a person who is in no organisation yet belongs to none.
        Protect(
            "accounts_outgoingmail",
            web_rows=f"organisation_id = {CURRENT_ORGANISATION}",
            web_writes=f"organisation_id IS NULL OR organisation_id = {CURRENT_ORGANISATION}",
            web="SELECT, INSERT",
            staff="SELECT, INSERT",
            relay="SELECT, INSERT",
            duty=ALL,
        ),
        Grant("accounts_alert", staff="SELECT, UPDATE", relay=ALL, duty=ALL),
        # Not a tenant's: found by a random key that only the browser has.
        Grant("accounts_session", web=ALL, staff=ALL, duty=ALL),
        Grant("accounts_user_groups", staff="SELECT", duty=ALL),
        Grant("accounts_user_user_permissions", staff="SELECT", duty=ALL),
        Grant("auth_group", staff="SELECT", duty="SELECT"),
        Grant("auth_group_permissions", staff="SELECT", duty="SELECT"),
        Grant("auth_permission", staff="SELECT", duty="SELECT"),
        Grant("django_content_type", web="SELECT", staff="SELECT", duty="SELECT"),
        Grant("django_admin_log", staff="SELECT, INSERT", duty="SELECT, UPDATE, DELETE"),
        Grant("django_migrations", web="SELECT", staff="SELECT", relay="SELECT", duty="SELECT"),
        migrations.RunSQL(LOOK_UPS, migrations.RunSQL.noop),
        migrations.RunSQL(AUDIT, migrations.RunSQL.noop),
    ]
