# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages about mail: credentials, domains, routes, log and waiting mail."""

from __future__ import annotations

from accounts.models import Role

# Who may change how mail is sent, and who may look at it.
BUILDERS = (Role.OWNER, Role.ADMIN, Role.DEVELOPER)
READERS = (*BUILDERS, Role.VIEWER)
