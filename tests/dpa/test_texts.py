# SPDX-License-Identifier: AGPL-3.0-or-later
"""The texts: well built, without a typed figure, and closed to what customers type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpa import texts
from dpa.texts import ROOT, Passage, TextFaulty, fill, load

CLAUSES = (
    "Baggrund og formål",
    "Den Dataansvarliges rettigheder og pligter",
    "Databehandlerens pligter",
    "Underdatabehandlere",
    "Instruks",
    "Sikkerhed",
    "Overførsel til tredjelande",
    "Fortrolighed",
    "Tilsyn og erklæringer",
    "Ændringer",
    "Sletning og tilbagelevering",
    "Misligholdelse og ansvar",
    "Ikrafttræden og varighed",
    "Lovvalg og værneting",
)
# The number of a clause or point begins its paragraph, and stands nowhere else.
OWN_NUMBER = re.compile(r"^\d+(\.\d+)? ", re.MULTILINE)


def _files() -> list[Path]:
    return sorted(ROOT.rglob("*.txt"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_figure_is_typed(path: Path) -> None:
    words = OWN_NUMBER.sub("", path.read_text()) if path.name == "clauses.txt" else path.read_text()
    assert re.findall(r".*\d.*", words) == []


def test_a_typed_figure_would_be_found() -> None:
    planted = "6.3 Senest 24 timer efter"
    assert re.findall(r"\d+", OWN_NUMBER.sub("", planted)) == ["24"]


def test_clauses_are_fourteen_in_the_order_of_the_subject() -> None:
    assert tuple(clause.title for clause in load("da").clauses) == CLAUSES


def test_digest_follows_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "da" / "1"
    folder.mkdir(parents=True)
    for path in (ROOT / "da" / "1").glob("*.txt"):
        (folder / path.name).write_bytes(path.read_bytes())
    original = texts.digest("da", "1")
    monkeypatch.setattr(texts, "ROOT", tmp_path)
    assert texts.digest("da", "1") == original
    for path in folder.glob("*.txt"):
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert texts.digest("da", "1") != original, path.name
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("2 Begyndelse\n\n2.1 Ord.", "2 stands where 1 is due"),
        ("1 Begyndelse\n\n1.2 Ord.", "1.2 stands where 1.1 is due"),
        ("1 Begyndelse\n\nOrd uden nummer.", "no number at"),
    ],
)
def test_wrong_number_is_refused(source: str, fault: str) -> None:
    with pytest.raises(TextFaulty, match=re.escape(fault)):
        list(texts._clauses(source))


def test_place_without_a_value_is_refused() -> None:
    with pytest.raises(TextFaulty):
        fill("Senest {{ periods.never }} timer", {"periods": {"breach_hours": 24}})


def test_what_a_customer_types_stays_words_in_one_paragraph() -> None:
    typed = "A {{ court }} {% now 'Y' %}\n- punkt\n\n15 Nyt\n<b>x</b>"
    passage = Passage("Mellem {{ name }}.").filled({"name": typed, "court": "x"})
    assert passage == Passage(f"Mellem {typed}.")


def test_every_named_point_is_named_once() -> None:
    keys = [point.key for clause in load("da").clauses for point in clause.points if point.key]
    assert len(keys) == len(set(keys)) > 30


def test_declarations_of_a_signatory_are_there_in_both_languages() -> None:
    for language in ("da", "en"):
        assert set(texts.signing_terms(language)) == {"authority", "terms"}
    assert texts.signing_digest("da") != texts.signing_digest("en")
