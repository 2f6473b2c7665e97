# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in telling of what did not arrive, and in what is told: behaviours 41, 42 and 45."""

from __future__ import annotations

from tests.planted.fault import Fault

FEEDBACK, TOLD = "relay/feedback.py", "tests/relay/test_feedback.py"
TAKEN = "tests/relay/test_esptaking.py"
VERDICTS = "tests/relay/bounces/test_verdicts.py"
HEARD = "tests/relay/esp/test_events.py"
DSN, NOTICES = "tests/relay/smtp/test_dsn.py", "tests/relay/test_delivery_notices.py"

FAULTS = (
    Fault(
        41,
        "relay/smtp/dsn.py",
        "    if not report.sender:\n",
        "    if False:\n",
        f"{DSN}::test_null_sender_is_never_answered",
    ),
    Fault(
        41,
        "relay/smtp/dsn.py",
        'head = original.partition(b"\\r\\n\\r\\n")[0]',
        "head = original",
        f"{DSN}::test_only_headers_of_the_original_are_returned",
    ),
    Fault(
        41,
        "relay/smtp/dsn.py",
        '        "Auto-Submitted: auto-replied",\n',
        "",
        f"{DSN}::test_failure_is_a_multipart_report_for_machines_and_people",
    ),
    Fault(
        41,
        "relay/outcomes.py",
        "    if work.tells_nobody:\n",
        "    if False:\n",
        f"{NOTICES}::test_nobody_is_told_who_must_not_be",
    ),
    Fault(
        41,
        "relay/notices.py",
        'f"notices:{organisation_id}"',
        'f"notices:{organisation_id}:{id(self)}"',
        "tests/relay/test_notice_limit.py::test_all_processes_share_one_limit",
    ),
    Fault(
        41,
        FEEDBACK,
        ' and "@" in about.sender:',
        ":",
        f"{TOLD}::test_nobody_is_told_who_does_not_want_it",
    ),
    Fault(
        41,
        "relay/queue/returned.py",
        "ORDER BY d.position FOR UPDATE OF d",
        "ORDER BY d.position",
        f"{TOLD}::test_two_processes_with_the_same_report_tell_once",
    ),
    Fault(
        42,
        "relay/returnpaths.py",
        "    if not hmac.compare_digest(proof, _proof(body)):\n        return None\n",
        "",
        "tests/relay/test_returnpaths.py::test_no_letter_of_a_token_can_be_changed",
    ),
    Fault(
        42,
        "relay/bouncing.py",
        "return None if is_ours else answers.NO_RETURN_PATH",
        "return None",
        "tests/relay/test_bouncing.py::test_any_other_address_is_refused_in_the_same_words",
    ),
    Fault(
        42,
        "relay/returning.py",
        "target.kind == Route.Kind.OWN or ",
        "",
        "tests/relay/test_returning.py::test_envelope_of_a_customers_own_server_is_as_it_was_given",
    ),
    Fault(
        42,
        "relay/returning.py",
        "return replace(given, sender=local)",
        "return given",
        "tests/relay/test_returning.py::test_provider_is_told_a_mark_and_never_the_sender",
    ),
    Fault(
        42,
        FEEDBACK,
        "    if event.organisation_id not in (None, ",
        "    if None not in (None, ",
        f"{TAKEN}::test_another_organisations_mail_is_never_told_of",
    ),
    Fault(
        42,
        "relay/smtp/reports.py",
        '"disposition-notification", "feedback-report"',
        '"disposition-notification"',
        "tests/relay/smtp/test_reports.py::test_what_reports_nothing_is_left_alone",
    ),
    Fault(
        42,
        "relay/smtp/reports.py",
        'submitted not in ("", "no") or',
        "False or",
        "tests/relay/smtp/test_reports.py::test_what_reports_nothing_is_left_alone",
    ),
    Fault(
        42,
        "relay/smtp/bounces.py",
        "is_hard=is_final and judged.is_hard)",
        "is_hard=True)",
        "tests/relay/smtp/test_bounces.py"
        "::test_refusal_that_is_not_about_the_address_never_counts_against_it",
    ),
    Fault(
        42,
        FEEDBACK,
        "        if suppresses(event, about):\n",
        "        if False:\n",
        f"{TOLD}::test_address_that_is_gone_gets_no_more_mail",
    ),
    Fault(
        45,
        FEEDBACK,
        "if event.kind == Kind.FAILED and about.state == Delivery.State.WAITING:",
        "if False:",
        f"{TOLD}::test_report_that_overtakes_its_delivery_is_put_off",
    ),
    Fault(
        45,
        FEEDBACK,
        "            await returned.came_back(connection, about, now)\n",
        "            pass\n",
        f"{TOLD}::test_delivered_mail_may_still_come_back",
    ),
    Fault(
        45,
        FEEDBACK,
        " and about.state == Delivery.State.DELIVERED\n",
        "\n",
        f"{TOLD}::test_what_ended_otherwise_is_never_delivered_afterwards",
    ),
    Fault(
        45,
        "relay/bouncing.py",
        "answers.REPORT_LATER if Taken.LATER in taken else answers.REPORT_TAKEN",
        "answers.REPORT_TAKEN",
        "tests/relay/test_bouncing.py::test_report_that_came_too_early_is_to_come_again",
    ),
    Fault(
        45,
        "relay/esptaking.py",
        "    return Taken.LATER not in taken\n",
        "    return True\n",
        f"{TAKEN}::test_report_that_overtakes_its_delivery_is_kept_until_it_is_written",
    ),
    Fault(
        45,
        "relay/queue/returned.py",
        'ALWAYS_SAME = "esp"',
        'ALWAYS_SAME = ""',
        f"{TAKEN}::test_report_that_is_sent_again_later_changes_nothing",
    ),
    Fault(
        42,
        "relay/smtp/replies.py",
        "    return is_about_address and words.says_gone\n",
        "    return is_about_address\n",
        "tests/relay/smtp/test_bounces.py"
        "::test_refusal_that_is_not_about_the_address_never_counts_against_it",
    ),
    Fault(
        42,
        "relay/esptaking.py",
        "(event.code or event.enhanced or event.text)",
        "(event.code or event.enhanced)",
        f"{TAKEN}::test_whatever_is_not_about_the_address_costs_it_nothing",
    ),
    Fault(
        42,
        FEEDBACK,
        "or is_inner_name(address, about.recipient)",
        "or is_namesake(address, about.recipient)",
        f"{TOLD}::test_namesake_elsewhere_may_be_where_mail_is_sent_on_to",
    ),
    Fault(
        42,
        "relay/smtp/wording.py",
        " and not self._may_say_more\n",
        "\n",
        f"{VERDICTS}::test_words_of_anything_else_suppress_nobody",
    ),
    Fault(
        42,
        "relay/smtp/wording.py",
        "names_other=not all(ours))",
        "names_other=False)",
        f"{VERDICTS}::test_words_about_somebody_else_are_not_about_the_recipient",
    ),
    Fault(
        42,
        "relay/smtp/reports.py",
        "tuple(_by_fields(message)) if is_report or speaks else ()",
        "tuple(_by_fields(message))",
        "tests/relay/smtp/test_reports.py::test_what_reports_nothing_is_left_alone",
    ),
    Fault(
        42,
        "relay/smtp/reports.py",
        "enhanced=(status or spoken) if is_vague else spoken,",
        "enhanced=status or spoken,",
        "tests/relay/smtp/test_bounces.py"
        "::test_refusal_that_is_not_about_the_address_never_counts_against_it",
    ),
    Fault(
        42,
        "relay/smtp/reports.py",
        "_diagnosis(diagnosis) if diagnosis else _told(said, addresses)",
        "_diagnosis(diagnosis)",
        f"{VERDICTS}::test_what_people_are_told_counts_where_machines_are_told_no_reason",
    ),
    Fault(
        42,
        FEEDBACK,
        "    if event.position is None and not _is_named(event, about):\n",
        "    if False:\n",
        f"{TOLD}::test_path_that_several_share_suppresses_none_of_them",
    ),
    Fault(
        42,
        FEEDBACK,
        "    if event.position is None and not _is_named(event, about):\n",
        "    if event.position is None and event.kind == Kind.FAILED"
        " and not _is_named(event, about):\n",
        f"{TOLD}::test_who_is_left_of_several_does_not_stand_for_who_is_gone",
    ),
    Fault(
        42,
        FEEDBACK,
        "is_said = any(_is_same(address, about.recipient)",
        "is_said = any(is_namesake(address, about.recipient)",
        f"{TAKEN}::test_one_of_several_is_not_listed_by_a_guess",
    ),
    Fault(
        42,
        "relay/esptaking.py",
        "return by_words if event.is_hard is not False else",
        "return by_words if True else",
        f"{TAKEN}::test_whatever_is_not_about_the_address_costs_it_nothing",
    ),
    Fault(
        42,
        "relay/esptaking.py",
        "is_said = event.is_quoted and ",
        "is_said = True and ",
        f"{TAKEN}::test_label_of_the_providers_own_is_no_word_of_the_other_server",
    ),
    Fault(
        42,
        "relay/esp/events.py",
        'kind == "complained" and provider.is_filter(raw.esp_event)',
        "False",
        f"{HEARD}::test_filter_that_refuses_mail_is_no_person_who_complains",
    ),
    Fault(
        42,
        "relay/esp/events.py",
        "    return is_of_address if found else found\n",
        "    return found\n",
        f"{HEARD}::test_hard_needs_a_reason_that_is_about_the_address",
    ),
)
