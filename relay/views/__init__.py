# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages about mail: credentials, domains, routes, log and waiting mail."""

from __future__ import annotations
