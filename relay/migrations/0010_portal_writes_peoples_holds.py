# SPDX-License-Identifier: AGPL-3.0-or-later
"""The portal makes, changes and lifts people's holds; those of the service are not people's."""

from __future__ import annotations

from django.db import migrations

# All of them are still shown. The policies of 0007 say which rows are one's own.
OWN = """
CREATE POLICY relay_hold_web_makes ON relay_hold AS RESTRICTIVE FOR INSERT TO web
WITH CHECK (reason = 'held');
CREATE POLICY relay_hold_web_changes ON relay_hold AS RESTRICTIVE FOR UPDATE TO web
USING (reason = 'held') WITH CHECK (reason = 'held');
CREATE POLICY relay_hold_web_lifts ON relay_hold AS RESTRICTIVE FOR DELETE TO web
USING (reason = 'held');
"""
ANY = """
DROP POLICY relay_hold_web_makes ON relay_hold;
DROP POLICY relay_hold_web_changes ON relay_hold;
DROP POLICY relay_hold_web_lifts ON relay_hold;
"""


class Migration(migrations.Migration):
    dependencies = [("relay", "0009_release_of_quarantined_mail")]

    operations = [migrations.RunSQL(OWN, ANY)]
