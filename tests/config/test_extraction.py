# SPDX-License-Identifier: AGPL-3.0-or-later
"""Texts of templates reach the catalogue."""

from __future__ import annotations

import io

from babel.messages.extract import DEFAULT_KEYWORDS

from config.extraction import extract_python, extract_template

TEMPLATE = """<p>It's open</p>
   {% translate "Sign in" %}
 <b>{% blocktranslate count n=n %}one letter{% plural %}{{ n }} letters{% endblocktranslate %}
      {{ _("Log out") }}
"""


def test_texts_of_a_template_are_found_whatever_its_indentation():
    found = extract_template(io.BytesIO(TEMPLATE.encode()), DEFAULT_KEYWORDS, (), {})
    assert [(line, texts) for line, _, texts, _ in found] == [
        (2, "Sign in"),
        (3, ("one letter", "%(n)s letters", None)),
        (4, "Log out"),
    ]


PROGRAM = """name = _("Sign " "in")
line = f"{_('Key of')} {name}"
count = ngettext("%(n)d letter", "%(n)d letters", n)
"""


def test_texts_of_a_program_are_found_also_inside_f_strings():
    found = extract_python(io.BytesIO(PROGRAM.encode()), DEFAULT_KEYWORDS, (), {})
    assert [(line, texts) for line, _, texts, _ in found] == [
        (1, "Sign in"),
        (3, ["%(n)d letter", "%(n)d letters", None]),
        (2, "Key of"),
    ]
