# SPDX-License-Identifier: AGPL-3.0-or-later
"""What log lines must not say: links from mails open accounts, and stand in the path."""

from __future__ import annotations

import logging


class RouteNotPath(logging.Filter):
    """Put the route (`invitation/<str:token>/`) in place of the path in lines about a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        path = getattr(request, "path", None)
        if path is not None and isinstance(record.args, tuple):
            match = getattr(request, "resolver_match", None)
            route = match.route if match else "(no such page)"
            record.args = tuple(route if value == path else value for value in record.args)
        return True
