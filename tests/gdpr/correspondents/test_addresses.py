# SPDX-License-Identifier: AGPL-3.0-or-later
"""One address, however it is spelt, and no other."""

from __future__ import annotations

import unicodedata

import pytest

from gdpr.correspondents.addresses import canonical, written

SAME = [
    ("anna@due.example", "Anna@DUE.example"),
    ("anna@due.example", '"anna"@due.example'),
    ("anna@due.example", r'"an\na"@due.example'),
    ("a@rødgrød.example", "a@RØDGRØD.example"),
    ("a@rødgrød.example", "a@xn--rdgrd-vuad.example"),
    ("søren@due.example", unicodedata.normalize("NFD", "Søren@due.example")),
    ("åse@due.example", unicodedata.normalize("NFD", "åse@due.example")),
    ('"a b"@due.example', r'"a\ b"@due.example'),
    ('"a@b"@due.example', r'"A\@B"@Due.example'),
]
OTHERS = [
    ("anna@due.example", "anna+tag@due.example"),
    ("anna@due.example", "an.na@due.example"),
    ("anna@due.example", "anna@mail.due.example"),
    ("anna@due.example", '"anna "@due.example'),
    ("søren@due.example", "soren@due.example"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_address(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)
    assert set(written(one)) == set(written(other))


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_another_address(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)
    assert not set(written(one)) & set(written(other))


@pytest.mark.parametrize("address", [one for pair in SAME for one in pair])
def test_canonical_form_comes_first_and_is_its_own(address: str) -> None:
    assert canonical(canonical(address)) == canonical(address) == written(address)[0]


def test_log_may_have_either_form_of_domain_and_local_part() -> None:
    assert set(written("åse@rødgrød.example")) == {
        f"{local}@{domain}"
        for local in (
            "åse",
            '"åse"',
            unicodedata.normalize("NFD", "åse"),
            unicodedata.normalize("NFD", '"åse"'),
        )
        for domain in ("rødgrød.example", "xn--rdgrd-vuad.example")
    }
