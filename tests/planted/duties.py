# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in how duties are carried out: two clicks, rows that fail, files, addresses."""

from __future__ import annotations

from tests.planted.fault import Fault

REVIEWS, INTAKE = "tests/gdpr/test_reviews.py", "tests/gdpr/test_intake.py"
ERASING = "tests/gdpr/correspondents/test_erasing.py"
IMPORTS = "tests/gdpr/importing/test_pages.py"
MAIL = "tests/accounts/test_emails.py"

FAULTS = (
    Fault(
        0,
        "gdpr/views/reviews.py",
        "    reviews.hold(current_organisation(request).id)\n",
        "",
        f"{REVIEWS}::test_two_clicks_ask_once",
    ),
    Fault(
        0,
        "gdpr/correspondents/run.py",
        "    Organisation.objects.select_for_update(no_key=True).get(pk=by.organisation_id)\n",
        "",
        "tests/gdpr/correspondents/test_pages.py::test_two_clicks_order_one_erasure",
    ),
    Fault(
        0,
        "gdpr/correspondents/run.py",
        "    if rows.filter(asked_at__lte=now - PAUSE).exists():\n",
        "    if False:\n",
        f"{ERASING}::test_lock_that_is_there_for_an_hour_is_told",
    ),
    Fault(
        0,
        "gdpr/correspondents/run.py",
        "    if rows.filter(asked_at__lte=now - PAUSE).exists():\n",
        "    if fault and rows.filter(asked_at__lte=now - PAUSE).exists():\n",
        f"{ERASING}::test_waiting_mail_is_cancelled_and_waited_for",
    ),
    Fault(
        0,
        "gdpr/carrying.py",
        "    if row.right not in AUTOMATIC:\n        return\n",
        "    if row.right not in AUTOMATIC:\n        return requests.mark_begun(row, now)\n",
        f"{INTAKE}::test_what_is_refused_is_told_until_it_is_begun",
    ),
    Fault(
        0,
        "gdpr/claims.py",
        "rounds.each(NOT_TAKEN_UP, rows, lambda claim: _take_up(claim, now))",
        "sum(_take_up(claim, now) for claim in rows)",
        f"{INTAKE}::test_claim_that_fails_keeps_no_other_from_being_taken_up",
    ),
    Fault(
        0,
        "gdpr/rounds.py",
        "            failed.add(str(row.pk))\n",
        "            raise\n",
        f"{INTAKE}::test_request_that_cannot_be_ended_keeps_no_other",
    ),
    Fault(
        0,
        "gdpr/rounds.py",
        "            failed.add(str(row.pk))\n",
        "",
        f"{INTAKE}::test_approval_that_cannot_be_asked_for_keeps_no_other",
    ),
    Fault(
        0,
        "gdpr/rounds.py",
        "            with transaction.atomic():\n                done += act(row)\n",
        "            done += act(row)\n",
        f"{REVIEWS}::test_what_was_lifted_is_not_done_before_its_letter_can_leave",
    ),
    Fault(
        0,
        "config/settings.py",
        'FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]\n',
        "",
        "tests/accounts/test_uploads.py::test_longer_one_is_not_kept_at_all",
    ),
    Fault(
        0,
        "config/settings.py",
        "FILE_UPLOAD_MAX_MEMORY_SIZE = (5 * 1024 + 16) * 1024\n",
        "",
        "tests/accounts/test_uploads.py::test_largest_file_of_each_page_is_read_in_memory",
    ),
    Fault(
        0,
        "relay/views/suppressions.py",
        "        uploads.demand_small(request, acts.FileTooLarge)\n",
        "        pass\n",
        "tests/relay/test_views_suppressions.py::test_file_that_is_too_large_or_no_text_is_refused",
    ),
    Fault(
        0,
        "gdpr/views/imports.py",
        "@form_page\n@outside_context\n",
        "@form_page\n",
        f"{IMPORTS}::test_no_transaction_waits_for_the_upload_or_for_its_reader",
    ),
    Fault(
        0,
        "gdpr/importing/taking.py",
        "            raise Enough\n",
        "            pass\n",
        "tests/gdpr/importing/test_taking.py::test_account_keeps_so_many_and_no_more",
    ),
    Fault(
        0,
        "gdpr/enquiries/forms.py",
        "    address = forms.CharField(\n",
        "    address = forms.EmailField(\n",
        "tests/gdpr/enquiries/test_passing.py::test_letters_beyond_ascii_are_an_address_as_well",
    ),
    Fault(
        0,
        "accounts/mailbackend.py",
        "        self.connection.send_message(_unencoded(email_message))\n        return True\n",
        "        return bool(super()._send(email_message))\n",
        f"{MAIL}::test_letters_beyond_ascii_are_written_as_they_are",
    ),
    Fault(
        0,
        "config/settings.py",
        '    EMAIL_BACKEND = "accounts.mailbackend.Smtp"\n',
        "    pass\n",
        f"{MAIL}::test_portal_sends_by_it",
    ),
)
