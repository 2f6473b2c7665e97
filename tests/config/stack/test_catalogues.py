# SPDX-License-Identifier: AGPL-3.0-or-later
"""Message catalogues without gettext's own programs."""

from __future__ import annotations

import gettext
import os

from config.stack.catalogues import compile_catalogues

PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\\n"

msgid "pigeon"
msgstr "due"

#, fuzzy
msgid "letter"
msgstr "ugle"
"""


def test_catalogue_is_compiled_once_and_again_after_a_change(tmp_path):
    source = tmp_path / "config" / "locale" / "da" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    source.write_text(PO)

    assert [path.suffix for path in compile_catalogues(tmp_path)] == [".mo"]
    assert compile_catalogues(tmp_path) == []
    os.utime(source, (2**31, 2**31))
    assert compile_catalogues(tmp_path) != []

    with source.with_suffix(".mo").open("rb") as file:
        danish = gettext.GNUTranslations(file)
    assert danish.gettext("pigeon") == "due"
    # A guess nobody has looked at is not shown to people.
    assert danish.gettext("letter") == "letter"
