# SPDX-License-Identifier: AGPL-3.0-or-later
"""The portal as it runs: gunicorn in a process of its own, connected as the database role `web`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

from config.stack.state import free_port

START_SECONDS = 240


@contextmanager
def running_portal(extra: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve the test database; yields the address. Committed rows only are seen by it.

    `extra` is put into the environment of the process.
    """
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    words = ["gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--log-level", "warning", "--no-control-socket"],
        env={**_environment(site), **(extra or {})},
    )
    try:
        _wait(site, process)
        yield site
    finally:
        process.terminate()
        process.wait(timeout=90)


def _environment(site: str) -> dict[str, str]:
    parts = urlsplit(os.environ["WEB_DATABASE_URL"])
    database = urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_ROLE": "web",
        "WEB_DATABASE_URL": database,
        "REDIS_URL": settings.REDIS_URL,
        "VAULT_URL": settings.VAULT_URL,
        "AUDIT_ANCHORS": settings.AUDIT_ANCHORS,
        "SEAL_KEYS_URL": settings.SEAL_KEYS_URL,
        "PACKAGES": settings.PACKAGES,
        "TEST_CLOCK_FILE": settings.TEST_CLOCK_FILE,
        "SITE_URL": site,
        "DEBUG": "false",
    }


def _wait(site: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{site}/healthz", timeout=30).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the portal did not start")
