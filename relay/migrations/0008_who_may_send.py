# SPDX-License-Identifier: AGPL-3.0-or-later
"""Networks that need no secret are found at once; staff who change a quota release what it held."""

from __future__ import annotations

from django.db import migrations, models

from accounts.rowsecurity import Grant

# One row that cannot be read would keep everybody's networks from being read.
NETWORKS = """
ALTER TABLE relay_credential ADD CONSTRAINT credential_networks_readable
CHECK (networks::cidr[] IS NOT NULL)
"""
# People's own holds are not staff's to lift.
STAFF_LIFT = """
CREATE POLICY relay_hold_staff_lifts ON relay_hold AS RESTRICTIVE FOR DELETE TO staff
USING (reason = 'over_quota')
"""


class Migration(migrations.Migration):
    dependencies = [("relay", "0007_queue_at_depth")]

    operations = [
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(
                fields=["id"],
                condition=models.Q(by_network=True, revoked_at=None),
                name="credential_by_network",
            ),
        ),
        migrations.RunSQL(NETWORKS, migrations.RunSQL.noop),
        Grant("relay_hold", staff="DELETE"),
        migrations.RunSQL(STAFF_LIFT, migrations.RunSQL.noop),
    ]
