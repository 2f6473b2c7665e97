# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was written into the first two migrations after databases had been made by them.

Elsewhere all of it is there already, and nothing happens.
"""

from __future__ import annotations

from django.db import migrations

from accounts.rowsecurity import Grant

MISSING = """
ALTER TABLE accounts_user ADD COLUMN IF NOT EXISTS restricted_at timestamptz;
CREATE INDEX IF NOT EXISTS auditevent_by_actor ON accounts_auditevent (actor_id);
CREATE INDEX IF NOT EXISTS auditevent_by_target ON accounts_auditevent (target_type, target_id);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_promise_results")]

    operations = [
        migrations.RunSQL(MISSING, migrations.RunSQL.noop),
        Grant("django_admin_log", duty="UPDATE"),
    ]
