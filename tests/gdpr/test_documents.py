# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents as PDF: the same octets each time, text as text, nothing fetched, bounded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import unicodedata
from importlib.metadata import version
from io import BytesIO

import pytest
from pikepdf import Pdf

from gdpr import bounded
from gdpr.bounded import BoundedError, run
from gdpr.typesetting.assets import ASSETS
from tests import poppler
from tests.gdpr.paper import FACTS, NOW, sample, signed

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src="file:///etc/passwd"><link rel="stylesheet" href="http://127.0.0.1:1/x.css">',
    "</p><style>@page{size:A0}</style>",
    "url(http://127.0.0.1:1/) @import 'x';",
    "{{ settings.SECRET_KEY }} {% debug %}",
    "&lt;b&gt; &#x3c;i&#x3e; &amp;amp;",
    "A\u030alborg",
    "a' OR 1=1; --",
)
HEAD = '<html lang="da"><title>x</title><link rel="stylesheet" href="asset:document.css">'
STRANGE = (
    '<img src="file:///etc/passwd" alt="x">',
    '<img src="http://127.0.0.1:1/x.png" alt="x">',
    '<img src="data:image/png;base64,iVBORw0KGgo=" alt="x">',
    '<img src="asset:../settings.py" alt="x">',
    '<link rel="stylesheet" href="https://brevdue.example/x.css">',
    '<link rel="attachment" href="file:///etc/passwd">',
    "<style>@import 'asset:other.css';</style>",
)


@pytest.fixture
def _children_as_in_life(monkeypatch):
    monkeypatch.setattr(bounded, "subprocess", subprocess)


def _order(html):
    description = dict.fromkeys(("title", "identifier", "author", "producer"), "x")
    description |= {"language": "da", "issued_at": NOW.isoformat()}
    order = {"html": html, "description": description, "enclosures": [], "card": False}
    return json.dumps(order).encode()


def _set_type(html):
    return run("gdpr.typesetting", _order(html))


@pytest.mark.usefixtures("_children_as_in_life")
def test_two_renders_are_the_same_octets():
    first = sample()
    time.sleep(1.1)
    assert sample() == first


def test_another_identifier_makes_other_octets():
    assert sample(identifier="P-2026-2") != signed()[0]


def test_text_can_be_searched_and_copied_with_its_letters():
    text = poppler.text(signed()[0], "-layout")
    for words in ("Ærlig talt: blåbærgrød på Ærø", "Underskrift, officiel, affære, fjord, Tårbæk"):
        assert words in text
    assert "Side 1 af 3" in text
    assert "Udstedt den 22. november 2026" in text
    assert "P-2026-1" in text


def test_text_of_customers_is_shown_letter_by_letter():
    octets = sample(name=" | ".join(HOSTILE))
    shown = "".join(poppler.text(octets, "-layout").split())
    for name in HOSTILE:
        assert "".join(unicodedata.normalize("NFC", name).split()) in shown
    with Pdf.open(BytesIO(octets)) as pdf:
        assert len(pdf.pages) == 3
        assert [round(float(side)) for side in pdf.pages[0].MediaBox] == [0, 0, 595, 842]
        links = [m for page in pdf.pages for m in page.get("/Annots", []) if "/A" in m]
        assert {str(link.A.URI) for link in links} == {"https://brevdue.example/"}


def test_signs_that_show_nothing_or_turn_the_text_are_written_out():
    text = poppler.text(sample(name="Due\u202esphpa\u200b\u00ad 漢 😀\x00"), "-layout")
    assert "Due[U+202E]sphpa[U+200B][U+00AD] [U+6F22] [U+1F600][U+0000]" in text


def test_attachment_is_the_agreement_as_data():
    with Pdf.open(BytesIO(signed()[2])) as pdf:
        assert json.loads(pdf.attachments["aftale.json"].get_file().read_bytes()) == FACTS


def test_description_names_the_document():
    with Pdf.open(BytesIO(signed()[2])) as pdf, pdf.open_metadata() as packet:
        assert packet["dc:title"] == "Prøve på en aftale"
        assert packet["dc:identifier"] == "P-2026-1"
        assert packet["xmp:CreateDate"] == "2026-11-22T10:00:00+00:00"


def test_every_font_comes_from_the_packages():
    with Pdf.open(BytesIO(signed()[2])) as pdf:
        names = {
            str(font.BaseFont).partition("+")[2]
            for found in pdf.objects
            if "/Font" in found.get("/Resources", {})
            for font in found.Resources.Font.values()
        }
    assert names
    assert {name.rpartition("-Semi-Bold")[0] or name for name in names} <= {
        "Source-Serif-Pro",
        "Source-Sans-Pro",
    }


def test_nothing_but_bundled_assets_is_fetched():
    with pytest.raises(BoundedError) as refusal:
        _set_type(f"{HEAD}{''.join(STRANGE)}<p>x</p>")
    assert not refusal.value.spent
    assert str(refusal.value).count("Failed to load") == len(STRANGE)
    # The reason is a sentence, never what a document said.
    assert "passwd" not in str(refusal.value)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["document.css", "card.css"])
def test_no_column_has_to_be_measured(name):
    """WeasyPrint looks for the least width of one that names none by every break of every word."""
    words = (ASSETS / name).read_text()
    assert re.findall(r"\dfr", words) == re.findall(r"(?<=minmax\(0, )\dfr", words)
    assert name == "card.css" or "fr)" in words


@pytest.mark.usefixtures("_children_as_in_life")
def test_hostile_document_is_ended_by_the_limits_of_its_process():
    cells = "<td>x</td>" * 60
    html = f"{HEAD}<table>{f'<tr>{cells}</tr>' * 4000}</table>"
    with pytest.raises(BoundedError) as refusal:
        _set_type(html)
    assert refusal.value.spent


def test_child_that_does_not_answer_is_ended():
    started = time.monotonic()
    with pytest.raises(BoundedError) as refusal:
        run("tests.gdpr.sleeper", b"", patience=1)
    assert refusal.value.spent
    assert time.monotonic() - started < 10


def test_child_that_wants_too_much_memory_ends():
    with pytest.raises(BoundedError) as refusal:
        run("tests.gdpr.hoarder", b"")
    assert refusal.value.spent
    assert "MemoryError" in str(refusal.value)


def test_child_ends_without_unloading_its_libraries():
    """Their threads may still run, and what they run would be gone."""
    ending = "import atexit, runpy; atexit.register(print, 'in order'); runpy.run_module"
    command = [sys.executable, "-c", f"{ending}('gdpr.typesetting', run_name='__main__')"]
    done = subprocess.run(command, input=_order(f"{HEAD}<p>x</p>"), capture_output=True, check=True)
    assert done.stdout.startswith(b"%PDF")
    assert b"in order" not in done.stdout


def test_child_knows_no_secret():
    environment = json.loads(run("tests.gdpr.teller", b""))
    assert "SECRET_KEY" not in environment
    assert not [name for name in environment if "DATABASE" in name or "VAULT" in name]


def test_floor_of_weasyprint():
    # 70.0 closed three ways past a fetcher of one's own (CVE-2025-68616, -2026-49452, -55073).
    assert tuple(map(int, version("weasyprint").split(".")[:2])) >= (70, 0)
