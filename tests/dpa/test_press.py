# SPDX-License-Identifier: AGPL-3.0-or-later
"""The document itself: a rich agreement as text, as data, and as PDF/A-3a and PDF/UA-1."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pikepdf import Pdf

from dpa import composition, press
from dpa.composition import Reading
from tests import build, poppler
from tests.dpa import papers
from tests.gdpr.pdf_conformance import faults


def enclosed(octets: bytes) -> Any:
    with Pdf.open(BytesIO(octets)) as pdf:
        return json.loads(pdf.attachments[press.DATA_NAME].get_file().read_bytes())


def validator() -> Draft202012Validator:
    schema = json.loads(press.SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def card(reading: Reading, title: str) -> dict[str, str]:
    (section,) = reading.annexes[1].sections
    return next(dict(card.lines) for card in section.cards if card.title == title)


@pytest.fixture(scope="module")
def text() -> str:
    return poppler.words(papers.rich())


def test_chain_of_subprocessors_is_told_in_full() -> None:
    reading = composition.read(papers.RICH)
    above, below = (card(reading, row["name"]) for row in papers.RICH["subprocessors"])
    assert above["Led"] == "1 (antaget af Brevdue ApS)"
    assert above["Varighed"] == "så længe Databehandleraftalen gælder"
    assert above["Genstand"] == (
        "drift af de maskiner, som Tjenesten kører på; opbevaring af Tjenestens sikkerhedskopier"
    )
    assert above["Registrerede"] == (
        "afsendere; modtagere; personer nævnt i hovedet; personer nævnt i e-mailen;"
        " indehavere af logins til ruter"
    )
    assert below["Led"] == "2 (antaget af Værtshuset A/S)"
    assert below["Varighed"] == "31. december 2027"
    assert below["Overførselsgrundlag"] == (
        "standardkontraktbestemmelser, artikel 46, stk. 2, litra c"
    )
    assert (below["CVR- eller virksomhedsnummer"], below["Land"]) == ("US-4711", "USA")


def test_statements_are_told_with_person_and_day() -> None:
    stated = composition.read(papers.RICH).annexes[2].sections[1]
    assert "Karen Post har den 1. november 2026 erklæret" in stated.passages[0].words
    assert [card.title for card in stated.cards] == [
        "Skadelige programmer",
        "Netværk",
        "Sikkerhedskopier",
        "Fjernadgang",
        "Medarbejdere",
    ]


@pytest.mark.parametrize("octets", [papers.issued, papers.rich], ids=["plain", "rich"])
def test_document_conforms(octets: Any) -> None:
    assert faults(octets()) == []


def test_words_of_the_page_stand_in_the_pdf(text: str) -> None:
    reading = composition.read(papers.RICH)
    told = [clause.title for clause in reading.clauses]
    told += [section.title for annex in reading.annexes for section in annex.sections]
    told += [card.title for annex in reading.annexes for s in annex.sections for card in s.cards]
    assert len(told) > 40
    assert [words for words in told if words not in text] == []
    assert "Overseas Storage Inc." in text


@pytest.mark.parametrize("octets", [papers.issued, papers.rich], ids=["plain", "rich"])
def test_enclosed_data_are_what_the_schema_says(octets: Any) -> None:
    validator().validate(enclosed(octets()))


@pytest.mark.parametrize("part", ["facts", "definitions", "clauses", "annexes"])
def test_schema_asks_for_every_part(part: str) -> None:
    data = json.loads(json.dumps(press.enclosure(papers.RICH, composition.read(papers.RICH))))
    validator().validate(data)
    with pytest.raises(ValidationError):
        validator().validate({name: data[name] for name in data if name != part})
    with pytest.raises(ValidationError):
        validator().validate(data | {"facts": data["facts"] | {"shoe_size": 43}})


def test_enclosed_data_promise_the_measures_in_words() -> None:
    annexes = enclosed(papers.rich())["annexes"]
    cards = {card["title"]: card for section in annexes[2]["sections"] for card in section["cards"]}
    assert "12 tegn" in cards["Adgangskoder"]["passages"][0]["words"]
    assert [annex["name"] for annex in annexes] == ["Bilag 1", "Bilag 2", "Bilag 3"]
    assert len(annexes[0]["sections"][3]["table"]["rows"]) == len(build.AGREED["processing"])
