# SPDX-License-Identifier: AGPL-3.0-or-later
"""Texts in which third persons stand, held against what a package may say of them.

The table is made by hand. Anna Krog Due asks; Bo Krog and Åse O'Brien-Lund are colleagues, Stine
Stab is staff. `{…}` in what must come out is any word for that person, the same all over the table.
"""

from __future__ import annotations

import re
import unicodedata

import pytest

from gdpr.redaction import Circle, Known, Pseudonyms, Redactor, Value

BO_ID, BO_ACTOR = "7b0e1a52-1111-4222-8333-94445555aaaa", "0f0e0d0c-aaaa-4bbb-8ccc-0123456789ab"
ANNA_ID = "aaaaaaaa-0000-4000-8000-000000000001"
STRANGER_ID = "deadbeef-0000-4000-8000-000000000009"

ANNA = Known("anna@due.example", "Anna Krog Due", "+45 11 22 33 44", (ANNA_ID,))
BO = Known("bo@krog.example", "Bo Krog", "+45 70 10 20 30", (BO_ID, BO_ACTOR))
BORGE = Known("borge@lund.example", "Åse O'Brien-Lund")
STINE = Known("stine@stab.example", "Stine Stab", "+45 11 22 33 44")

# What stands there, and what must come out.
CASES = (
    # Addresses, however they are written.
    ("Skriv til erik@modtager.example.", "Skriv til {erik}."),
    ("ERIK@Modtager.Example", "{erik}"),
    ("<erik@modtager.example>, \"Erik\" <erik@modtager.example>", "<{erik}>, \"Erik\" <{erik}>"),
    ("mailto:erik@modtager.example?subject=x", "mailto:{erik}?subject=x"),
    ("https://x.example/?to=erik%40modtager.example", "https:{url}"),
    ("erik [at] modtager.example", "{erik}"),
    ("erik (at) modtager.example", "{erik}"),
    ("erik (snabel-a) modtager.example", "{erik}"),
    ("erik&#64;modtager.example", "{erik}"),
    ("erik\uff20modtager.example", "{erik}"),
    ('"erik"@modtager.example', "{erik}"),
    ('"erik k@ro"@modtager.example', "{quoted}"),
    ("o'brien@modtager.example", "{apostrophe}"),
    ("'erik@modtager.example'", "'{erik}'"),
    ("erik+butik@modtager.example", "{tagged}"),
    ("søren@smørrebrød.example", "{soren}"),
    ("søren@xn--smrrebrd-64af.example", "{soren}"),
    ("rené@café.example", "{rene}"),
    (unicodedata.normalize("NFD", "rené@café.example"), "{rene}"),
    ("erik@[192.0.2.7]", "{literal}"),
    ("erik@server", "{host}"),
    ("a@b.example;c@d.example,e@f.example", "{ab};{cd},{ef}"),
    ("postgres://erik:pw@db.example/x", "postgres://erik:{pw}/x"),
    ("Hej @anna: kl. 12@ eller @home", "Hej @anna: kl. 12@ eller @home"),
    # The person's own.
    ("Anna@Due.example skriver", "Anna@Due.example skriver"),
    ("'anna@due.example'", "'anna@due.example'"),
    ('"anna"@due.example', '"anna"@due.example'),
    ("anna+butik@due.example", "{plus}"),
    ("anna@due.example.org", "{longer}"),
    ("hanna@due.example", "{hanna}"),
    # Random numbers.
    (f"Konto {BO_ID}", "Konto {bo}"),
    (f"Konto {BO_ID.upper()}", "Konto {bo}"),
    (f"/people/{BO_ID.replace('-', '')}/", "/people/{bo}/"),
    (f"af {BO_ACTOR}", "af {bo}"),
    (f"Konto {STRANGER_ID}", "Konto {stranger}"),
    (f"Konto {ANNA_ID}, sag 11111111-2222-4333-8444-555555555555",
     f"Konto {ANNA_ID}, sag 11111111-2222-4333-8444-555555555555"),
    # Phone numbers.
    ("Ring 70102030", "Ring {bo}"),
    ("Ring +45 70 10 20 30 i dag", "Ring {bo} i dag"),
    ("Ring (0045) 7010-2030.", "Ring ({bo}."),
    ("Mit er 11 22 33 44", "Mit er 11 22 33 44"),
    ("Ordre 70102031 fra 2026-11-20", "Ordre 70102031 fra 2026-11-20"),
    # Names.
    ("Bo Krog har sagt ja", "{bo} har sagt ja"),
    ("Krog, Bo", "{bo}"),
    ("KROG/BO", "{bo}"),
    ("bo krog skrev det", "{bo} skrev det"),
    ("Jeg bo her", "Jeg bo her"),
    ("Jeg talte med Bo i går", "Jeg talte med {bo} i går"),
    ("Bos bil og Krogs hus", "{bo} bil og Krogs hus"),
    ("Bo\u00a0Krog", "{bo}"),
    ("Åse O'Brien-Lund", "{borge}"),
    (unicodedata.normalize("NFD", "Åse") + " sagde", "{borge} sagde"),
    ("Bo Krog og Åse", "{bo} og {borge}"),
    ("hr. O'Brien kom", "hr. {borge} kom"),
    ("Anna Krog Due og Bo Krog", "Anna Krog Due og {bo}"),
    ("Bo Krog, Anna Due", "{bo}, Anna Due"),
    ("Stine fra drift, Stine Stab", "{stine} fra drift, {stine}"),
    ("Lund Transport ApS", "Lund Transport ApS"),
    ("Bo Krog <bo@krog.example> (70 10 20 30)", "{bo} <{bo}> ({bo})"),
)  # fmt: skip


def redactor(*released: str) -> Redactor:
    circle = Circle(ANNA, (BO, BORGE, STINE), ("Lund Transport ApS",))
    return Redactor(circle, Pseudonyms(frozenset(released)))


@pytest.fixture(scope="module")
def package() -> tuple[Redactor, dict[str, str]]:
    return redactor(), {}


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_text_has_nobody_but_the_person(
    package: tuple[Redactor, dict[str, str]], text: str, expected: str
) -> None:
    cleaner, words = package
    made = cleaner.clean_text(text, "x.Y.z", {STRANGER_ID})
    pattern = re.sub(r"\\\{(\S+?)\\\}", "(person-[0-9a-f]{10})", re.escape(expected))
    found = re.fullmatch(pattern, made)
    assert found, made
    for name, word in zip(re.findall(r"\{(\S+?)\}", expected), found.groups(), strict=True):
        assert words.setdefault(name, word) == word
    assert len(set(words.values())) == len(words)


def test_table_is_long_enough() -> None:
    assert len(CASES) >= 50


def test_values_of_every_shape_are_cleaned() -> None:
    value: Value = {"bo@krog.example": ["Bo", {"to": "70102030"}], "n": 7, "no": None, "yes": True}
    made = redactor().clean(value, "x", set())
    assert isinstance(made, dict)
    (word,) = {name for name in made if name.startswith("person-")}
    assert made == {word: [word, {"to": word}], "n": 7, "no": None, "yes": True}


def test_who_is_released_stands_by_every_word_and_nobody_else() -> None:
    cleaner = redactor("bo@krog.example")
    text = f"Bo Krog <bo@krog.example>, 70102030, {BO_ID}; Åse"
    made = cleaner.clean_text(text, "x", set())
    assert made.startswith(text.removesuffix("Åse") + "person-")
    assert cleaner.pseudonyms.shown == {"bo@krog.example": 4}
    assert cleaner.pseudonyms.replaced == {"x": 1}


def test_name_of_a_firm_is_found_whole_and_its_words_are_words() -> None:
    firm = Known("faktura@lund.example", "Lund Faktura", stands_whole=True)
    cleaner = Redactor(Circle(ANNA, (BO, firm)), Pseudonyms())
    assert cleaner.clean_text("Faktura fra Lund", "x", set()) == "Faktura fra Lund"
    made = cleaner.clean_text("Lund Faktura og Bo", "x", set())
    assert re.fullmatch(r"person-\w{10} og person-\w{10}", made)


def test_long_text_is_read_in_time() -> None:
    text = "x" * 200_000 + " a@b.example " + "1" * 200_000
    made = redactor().clean_text(text, "x", set())
    assert "a@b.example" not in made
