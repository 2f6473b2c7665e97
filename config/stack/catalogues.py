# SPDX-License-Identifier: AGPL-3.0-or-later
"""Message catalogues: compiled with Babel, since gettext's msgfmt is not on a fresh machine."""

from __future__ import annotations

import os
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from config.stack.places import ROOT


def compile_catalogues(root: Path = ROOT) -> list[Path]:
    """Compile what changed since the last time; returns the catalogues written."""
    sources = [p for p in root.glob("*/locale/*/LC_MESSAGES/*.po") if _is_newer(p)]
    return [_compile(source) for source in sources]


def _is_newer(source: Path) -> bool:
    compiled = source.with_suffix(".mo")
    return not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime


def _compile(source: Path) -> Path:
    with source.open("rb") as file:
        catalogue = read_po(file, locale=source.parent.parent.name)
    # A name of its own: two checkouts' commands, or two of one, may compile at once.
    fresh = source.with_suffix(f".mo.{os.getpid()}")
    with fresh.open("wb") as file:
        write_mo(file, catalogue)
    # In one step: a process that starts meanwhile reads the old one or the new one.
    return fresh.rename(source.with_suffix(".mo"))
