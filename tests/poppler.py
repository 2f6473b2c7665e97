# SPDX-License-Identifier: AGPL-3.0-or-later
"""What another program reads in a PDF."""

from __future__ import annotations

import subprocess


def text(pdf: bytes, *options: str) -> str:
    """Return the text of all pages as pdftotext gives it; it is one of the system's packages."""
    command = ["pdftotext", *options, "-", "-"]
    return subprocess.run(command, input=pdf, capture_output=True, check=True).stdout.decode()


def words(pdf: bytes) -> str:
    """Return every word of all pages, a space between them."""
    return " ".join(text(pdf).split())
