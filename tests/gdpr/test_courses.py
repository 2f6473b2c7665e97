# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every right has a course, and what follows from it is there for each."""

from __future__ import annotations

from gdpr import carrying, courses, forms, packing
from gdpr.models import Right


def test_every_right_has_a_course() -> None:
    assert set(courses.COURSES) == set(Right)


def test_what_is_packed_has_somebody_to_pack_it() -> None:
    assert set(packing.COMPOSERS) == courses.PACKED


def test_form_offers_every_right() -> None:
    assert set(forms.OFFERED) == set(Right)


def test_what_runs_by_itself_has_somebody_to_begin_it() -> None:
    assert set(carrying.BEGUN) >= courses.AUTOMATIC


def test_what_cannot_be_undone_runs_by_itself_from_the_portal_alone() -> None:
    assert courses.automatic("portal") - courses.automatic("form") == {Right.ERASURE}
    assert courses.automatic("form") == courses.automatic("staff")


def test_what_is_postponed_is_cancelled_and_not_withdrawn() -> None:
    assert frozenset(Right) - courses.WITHDRAWABLE == {Right.ERASURE}
