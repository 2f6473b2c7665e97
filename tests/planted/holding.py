# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in what an erasure has to leave: how long, for whom, and what is said of it."""

from __future__ import annotations

from tests.planted.fault import Fault

HOLDS, HOLDING = "gdpr/holds.py", "gdpr/erasing/holding.py"
CERTIFICATE, LETTERS = "gdpr/erasing/certificate.py", "gdpr/erasing/letters.py"
PERIODS = "tests/gdpr/test_holds.py"
HELD = "tests/gdpr/erasing/test_holding.py"
AGAIN = "tests/gdpr/erasing/test_held_again.py"
SECOND = "tests/gdpr/erasing/test_second_certificate.py"

FAULTS = (
    Fault(
        0,
        HOLDS,
        "    return date(year, month, monthrange(year, month)[1])\n",
        "    return date(day.year + BOOKKEEPING_YEARS, day.month, min(day.day, 28))\n",
        f"{PERIODS}::test_bookkeeping_ends_with_the_financial_year",
    ),
    Fault(
        0,
        HOLDS,
        "return until_on is not None and until_on < today",
        "return until_on is not None and until_on <= today",
        f"{PERIODS}::test_row_is_kept_on_its_last_day",
    ),
    Fault(
        0,
        HOLDS,
        "return until_on is not None and until_on < today",
        "return until_on is None or until_on < today",
        f"{HELD}::test_agreement_in_force_waits_for_its_end",
    ),
    Fault(
        0,
        HOLDING,
        "    row.until_on = holds.ends(held, rows)[kept.pk]\n",
        "",
        f"{HELD}::test_agreement_in_force_waits_for_its_end",
    ),
    Fault(
        0,
        HOLDING,
        "if erasure is None or erasure.held.filter(done_at=None).exists():",
        "if erasure is None:",
        f"{HELD}::test_while_one_row_is_left_there_is_no_second_certificate",
    ),
    Fault(
        0,
        "gdpr/erasing/steps.py",
        "    holding.write_down(work.erasure, about)\n",
        "",
        f"{HELD}::test_is_written_down_row_by_row_with_law_and_last_day",
    ),
    Fault(
        0,
        "gdpr/erasing/completion.py",
        "        raise StillThere(",
        "        str(",
        f"{HELD}::test_row_that_is_still_there_is_found_and_not_certified",
    ),
    Fault(
        0,
        "gdpr/management/commands/replay_erasures.py",
        "{holding.release_all(now):>6}",
        "{0:>6}",
        f"{AGAIN}::test_replay_erases_what_had_gone",
    ),
    Fault(
        0,
        HOLDING,
        "        if row.key in keys\n",
        "        if row.key not in keys\n",
        f"{AGAIN}::test_row_of_a_restored_table_is_told_and_erased_again",
    ),
    Fault(
        0,
        HOLDING,
        "            if _ended(row, day_of(now)):\n                erasers",
        "            if True:\n                erasers",
        f"{AGAIN}::test_row_that_the_law_holds_now_is_told_and_left",
    ),
    Fault(
        0,
        HOLDING,
        "if (row.until_on, row.done_at) != (before, None):",
        "if True:",
        f"{HELD}::test_night_on_which_nothing_ends_writes_nothing_down",
    ),
    Fault(
        0,
        HOLDING,
        "        with transaction.atomic():\n            if _ended(row, day_of(now)):\n",
        "        if True:\n            if _ended(row, day_of(now)):\n",
        f"{AGAIN}::test_stopped_between_row_and_record_it_is_told_and_done_by_the_next_run",
    ),
    Fault(
        0,
        HOLDING,
        "if found:\n        alerts.raise_alert(BACK)\n",
        "if not found:\n        alerts.raise_alert(BACK)\n",
        f"{AGAIN}::test_stopped_between_row_and_record_it_is_told_and_done_by_the_next_run",
    ),
    Fault(
        0,
        HOLDING,
        '        logger.error("row back of',
        '        raise\n        logger.error("row back of',
        f"{AGAIN}::test_one_that_cannot_go_is_told_and_holds_up_no_other",
    ),
    Fault(
        0,
        "gdpr/management/commands/replay_erasures.py",
        " or holding.returned():",
        ":",
        f"{AGAIN}::test_row_that_the_law_holds_now_is_told_and_left",
    ),
    Fault(
        0,
        "gdpr/erasing/erasers.py",
        "    rows = _left(entry, held, keys)\n",
        "    rows = subjects.model_of(entry)._default_manager.filter(pk__in=keys)\n",
        f"{HELD}::test_row_that_was_emptied_before_is_not_written_again",
    ),
    Fault(
        0,
        HOLDS,
        "[Membership, *processed(), *_held_by_a_law()]",
        "[Membership, *_held_by_a_law()]",
        f"{PERIODS}::test_customer_that_is_closing_has_not_left_while_its_mail_is_there",
    ),
    Fault(
        0,
        "gdpr/correspondents/repeat.py",
        "pk=uuid4() if is_known else one.entry.erasure_id,",
        "pk=uuid4(),",
        "tests/gdpr/correspondents/test_repeat.py"
        "::test_repetition_erases_again_with_a_certificate_of_its_own",
    ),
    Fault(
        0,
        CERTIFICATE,
        "Erasure.objects.filter(completed_at__lte=",
        "Erasure.objects.filter(ended_at__lte=",
        f"{SECOND}::test_link_lasts_until_some_time_after_it",
    ),
    Fault(
        0,
        LETTERS,
        "kept_until=holding.last_day(erasure),",
        "kept_until=None,",
        f"{SECOND}::test_last_mail_says_when_and_where_the_second_one_is",
    ),
)
