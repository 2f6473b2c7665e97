# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.db import migrations

# A mail that waits can hold a link that opens an account. Who writes one has no reason to read it,
# least of all the process that faces the internet.
NARROWER = "REVOKE SELECT ON accounts_outgoingmail FROM relay, web"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_row_level_security")]

    operations = [migrations.RunSQL(NARROWER, migrations.RunSQL.noop)]
