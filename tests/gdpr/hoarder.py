# SPDX-License-Identifier: AGPL-3.0-or-later
"""A child that wants more memory than every child may have."""

from __future__ import annotations

from gdpr.typesetting.limits import MEBIBYTES, bound

if __name__ == "__main__":
    bound()
    bytearray(MEBIBYTES * 1024 * 1024)
