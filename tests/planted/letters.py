# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in letters: one that leaves incomplete, late, unsealed, or is read by somebody else."""

from __future__ import annotations

from tests.planted.fault import Fault

FILLING = "gdpr/letters/filling.py"
COMPLETE = "tests/gdpr/letters/test_completeness.py"
FORMS = "tests/gdpr/letters/test_forms.py"
SEALING = "gdpr/letters/sealing.py"

FAULTS = (
    Fault(
        0,
        FILLING,
        "        if missing:\n            raise Incomplete(missing)\n",
        "",
        f"{COMPLETE}::test_letter_without_a_part_is_refused",
    ),
    Fault(
        0,
        FILLING,
        'if not facts.get(name, "").strip())',
        "if name not in facts)",
        f"{COMPLETE}::test_empty_fact_is_refused",
    ),
    Fault(
        0,
        FILLING,
        "        yield from FACTS_OF[part].difference(*(block.facts for block in words))\n",
        "",
        f"{COMPLETE}::test_words_that_name_nobody_are_refused",
    ),
    Fault(
        0,
        "gdpr/letters/writing.py",
        "        raise requests.TooLate\n",
        "        pass\n",
        f"{COMPLETE}::test_extension_leaves_until_the_limit_and_not_after_it",
    ),
    Fault(
        0,
        "gdpr/deciding.py",
        "        drafts.send(draft)\n",
        "",
        f"{FORMS}::test_preview_is_what_leaves",
    ),
    Fault(
        0,
        "gdpr/letters/drafts.py",
        "    if draft.kind.is_sealed:\n",
        "    if False:\n",
        f"{FORMS}::test_pdf_goes_with_the_mail_and_is_kept",
    ),
    Fault(
        0,
        SEALING,
        "        if not _kept(row, pdf):\n            return False\n",
        "        _kept(row, pdf)\n",
        f"{FORMS}::test_what_is_erased_meanwhile_is_not_sent",
    ),
    Fault(
        0,
        SEALING,
        "        Letter.objects.filter(pk=pk).update(due_at=now + AGAIN_AFTER)\n",
        "",
        f"{FORMS}::test_it_is_tried_again_and_the_alert_ends",
    ),
    Fault(
        0,
        SEALING,
        "drafts.sealed(draft, row.issued_at, clock.now())",
        "drafts.typeset(draft, row.issued_at)",
        f"{FORMS}::test_it_leaves_once_with_its_seal",
    ),
    Fault(
        0,
        "gdpr/views/letters.py",
        "right__request__person=current_person(request), due_at=None)",
        "right__request__person=current_person(request))",
        f"{FORMS}::test_page_says_that_it_is_being_sealed",
    ),
    Fault(
        0,
        "gdpr/views/letters.py",
        "pk=letter_id, right__request_id=request_id",
        "pk=letter_id",
        f"{FORMS}::test_letter_of_another_request_is_not_found",
    ),
)
