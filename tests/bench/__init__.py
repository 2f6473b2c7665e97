# SPDX-License-Identifier: AGPL-3.0-or-later
"""`make bench`: messages a second, end to end, of this service and of Postfix side by side."""

from __future__ import annotations
