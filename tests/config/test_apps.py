# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys

PROGRAM = "import django; django.setup(); from gdpr.tasks import pack; print(pack.app.main)"


def test_every_process_of_django_knows_the_broker() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "brevdue"
