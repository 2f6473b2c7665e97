# SPDX-License-Identifier: AGPL-3.0-or-later
"""The files that a document may use, each by its name. Nothing else can be fetched."""

from __future__ import annotations

import mimetypes
from pathlib import Path

import font_source_sans_pro
import font_source_serif_pro
from weasyprint.urls import URLFetcher, URLFetcherResponse

SCHEME = "asset:"
ASSETS = Path(__file__).resolve().parent.parent / "assets"
FONT_PACKAGES = (font_source_serif_pro, font_source_sans_pro)
FONTS = (
    "SourceSerifPro-Regular.ttf",
    "SourceSerifPro-Semibold.ttf",
    "SourceSansPro-Regular.ttf",
    "SourceSansPro-Semibold.ttf",
)


class NoSuchAsset(ValueError):
    """A document asked for something that is not bundled."""


def bundled() -> dict[str, Path]:
    """Return every file that a document may name, by the part of its address after `asset:`."""
    own = {path.name: path for path in ASSETS.iterdir() if path.suffix in (".css", ".svg")}
    return own | {path.name: path for path in font_files()}


def font_files() -> list[Path]:
    return [
        Path(package.font_directory) / name
        for name in FONTS
        for package in FONT_PACKAGES
        if (Path(package.font_directory) / name).exists()
    ]


class BundledAssets(URLFetcher):  # type: ignore[misc] # no types
    """Serves `asset:NAME`. Opens no socket and no path that a document names itself."""

    def __init__(self) -> None:
        super().__init__(allow_redirects=False)
        self._files = bundled()

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        """Return the file. Raises NoSuchAsset."""
        path = self._files.get(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None
        if path is None:
            raise NoSuchAsset("only bundled assets may be used")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": kind})
