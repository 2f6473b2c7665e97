# SPDX-License-Identifier: AGPL-3.0-or-later
"""Returned mail that a library is tested with: only its source archive has it, no package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from config.stack.places import VAR

ARCHIVES = VAR / "corpus"
SOURCE = (
    "flufl.bounce==6.0.0"
    " --hash=sha256:a1df16b9d1877ae4536f7d76c00d8421fcefbe694f80f5285d05c45a2547b1bc"
)
SECONDS = 300


def archive() -> Path | None:
    """Return the archive, None while it was not fetched."""
    return next(ARCHIVES.glob("flufl*bounce-*.tar.gz"), None)


def fetch() -> bool:
    """Fetch the archive where it is missing; False when it cannot be had."""
    return archive() is not None or (_download() and archive() is not None)


def _download() -> bool:
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="brevdue-") as directory:
        wanted = Path(directory) / "wanted.txt"
        wanted.write_text(SOURCE + "\n")
        options = ["--no-deps", "--no-binary", "flufl.bounce", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", "-q", *options]
        try:
            done = subprocess.run(
                [*command, "-r", wanted, "-d", ARCHIVES], capture_output=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
