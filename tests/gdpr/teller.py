# SPDX-License-Identifier: AGPL-3.0-or-later
"""A child that tells its environment."""

from __future__ import annotations

import json
import os

if __name__ == "__main__":
    print(json.dumps(dict(os.environ)))  # noqa: T201
