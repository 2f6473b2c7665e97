# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files that people upload stay in memory, as long as one request takes.

Spooled to a disk they would stand there in the clear, where no period ends them and no erasure
looks. config/settings.py chooses the handler, which leaves out what is longer than it may keep.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from accounts.refusals import Refused


def demand_small(request: HttpRequest, too_large: type[Refused]) -> None:
    """Refuse a form before it is read when no file in it would be kept. Raises `too_large`."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
        raise too_large
