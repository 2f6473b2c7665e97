# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one override of settings: parts of its own for each xdist worker, cheap password hashes."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

os.environ["DATABASE_ROLE"] = "owner"

from accounts.keyfiles import make_keyring
from config.settings import *  # noqa: F403

_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_directory = Path(tempfile.mkdtemp(prefix=f"brevdue-{_worker}-"))

PASSWORD_HASHERS = ["tests.hashers.QuickArgon2"]
VAULT_URL = f"file://{_directory}/vault"
KEYRING_URL = f"file://{_directory}/keyring"
make_keyring(_directory / "keyring")
AUDIT_ANCHORS = f"{_directory}/audit"
PACKAGES = f"{_directory}/packages"
SEAL_KEYS_URL = f"file://{_directory}/seal"
ERASURE_JOURNAL = f"{_directory}/erasures"

# A Redis database per worker.
REDIS_URL = re.sub(r"/\d*$", "", os.environ["REDIS_URL"]) + f"/{int(_worker[2:]) + 1}"
CELERY_BROKER_URL = REDIS_URL
RELAY_DEVELOPMENT_DOMAINS = False
# Never written here: tests give the time in the process, and the database takes any.
TEST_CLOCK_FILE = f"{_directory}/clock"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Templates that only tests have.
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates", BASE_DIR / "tests" / "gdpr" / "templates"]  # noqa: F405
# Each test client would look for all static files when it starts; it looks for one when asked.
WHITENOISE_AUTOREFRESH = True
