# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in what a customer does about one address: whose rows, how old, who else is named."""

from __future__ import annotations

from tests.planted.fault import Fault

LOG, ERASERS = "gdpr/correspondents/log.py", "gdpr/correspondents/erasers.py"
STEPS, RUN = "gdpr/correspondents/steps.py", "gdpr/correspondents/run.py"
ERASING = "tests/gdpr/correspondents/test_erasing.py"
SCANNING = "tests/gdpr/correspondents/test_scan.py"
PACKAGES = "tests/gdpr/correspondents/test_packages.py"
STUCK, EXTRACT = "tests/gdpr/correspondents/test_stuck.py", "gdpr/correspondents/extract.py"
REPEATED = "tests/gdpr/correspondents/test_repeat.py"

FAULTS = (
    Fault(
        0,
        LOG,
        "WHERE organisation_id = %(organisation)s AND {address} = ANY(%(written)s)\n"
        "    AND accepted_at >= %(since)s",
        "WHERE {address} = ANY(%(written)s)\n    AND accepted_at >= %(since)s",
        f"{ERASING}::test_nothing_of_another_organisation_is_touched",
    ),
    Fault(
        0,
        LOG,
        "AND accepted_at < %(before)s AND accepted_at <= %(until)s",
        "AND accepted_at < %(before)s",
        f"{ERASING}::test_mail_accepted_after_the_order_is_new",
    ),
    Fault(
        0,
        ERASERS,
        "WHERE {these} AND recipient = ANY(%(written)s) RETURNING",
        "WHERE {these} RETURNING",
        f"{ERASING}::test_recipient_goes_and_others_of_the_same_mail_stay",
    ),
    Fault(
        0,
        STEPS,
        "ORDER = (LEDGER, WAITING, OTHERS, EMPTY,",
        "ORDER = (WAITING, LEDGER, OTHERS, EMPTY,",
        f"{ERASING}::test_ledger_is_written_before_anything_goes",
    ),
    Fault(
        0,
        STEPS,
        "    if left:\n        raise Leftover(left)\n",
        "",
        f"{ERASING}::test_leftover_that_nobody_can_explain_stops_it_and_is_told",
    ),
    Fault(
        0,
        "gdpr/scan/tables.py",
        'found.append((f"{self.owned_by} = %s", self.organisation_id))',
        'found.append((f"{self.owned_by} <> %s", self.organisation_id))',
        f"{SCANNING}::test_other_organisations_and_newer_rows_are_left_out",
    ),
    Fault(
        0,
        "gdpr/correspondents/repeat.py",
        "if entry and oldest_at <= entry.entered_at and",
        "if entry and",
        f"{REPEATED}::test_mail_of_after_the_erasure_is_new_and_stays",
    ),
    Fault(
        0,
        EXTRACT,
        "if piece.is_sent or row.recipient in self.whom.written]",
        "if True]",
        f"{PACKAGES}::test_own_rows_are_given_and_others_become_pseudonyms",
    ),
    Fault(
        0,
        EXTRACT,
        "                named[row.message_id] += _named(row)\n",
        "                named[row.message_id] += []\n",
        f"{PACKAGES}::test_names_that_the_mail_gives_are_found_in_its_words",
    ),
    Fault(
        0,
        EXTRACT,
        "            listed = logfields.shown(value)\n",
        "            listed = value\n",
        f"{PACKAGES}::test_who_stands_in_encoded_words_of_a_header_is_another_too",
    ),
    Fault(
        0,
        "gdpr/redaction.py",
        " or people.isdisjoint(self._by_one_word)",
        "",
        "tests/gdpr/test_redaction.py::test_name_of_a_firm_is_found_whole_and_its_words_are_words",
    ),
    Fault(
        0,
        RUN,
        "late = Q(asked_at__lte=now - PAUSE) | ~Q(fault=Fault.NONE)",
        "late = ~Q(fault=Fault.NONE)",
        f"{STUCK}::test_late_one_is_stuck_without_a_fault",
    ),
    Fault(
        0,
        RUN,
        "            erasure.report = {**erasure.report, steps.STUCK: where}\n",
        "",
        f"{STUCK}::test_error_is_shown_by_its_kind_alone",
    ),
    Fault(
        0,
        "gdpr/packages.py",
        "rows = (Package.objects, AddressPackage.objects)",
        "rows = (Package.objects,)",
        f"{PACKAGES}::test_clean_up_of_peoples_packages_leaves_these",
    ),
)
