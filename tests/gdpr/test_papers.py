# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every document that people really get conforms, not only the one made for tests."""

from __future__ import annotations

import pytest

from tests.dpa import papers
from tests.gdpr.pdf_conformance import faults


@pytest.mark.parametrize("state", ["issued", "signed", "complete"])
def test_agreement_conforms_in_every_state(state: str) -> None:
    assert faults(getattr(papers, state)()) == []
