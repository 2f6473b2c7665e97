# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in the log: what of a mail it holds and how long, what a search finds, files of it."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
FIELDS, LOGGED = "relay/logfields.py", "tests/relay/test_logged.py"
SEARCH, SEARCHING = "relay/search.py", "tests/relay/test_search.py"
QUERIES = "relay/logqueries.py"
FILES, DOWNLOADS = "relay/downloads.py", "tests/relay/test_downloads.py"
PERIODS, SHORTER = "relay/shorterperiods.py", "tests/relay/test_shorterperiods.py"
CHOICES, PAGES = "tests/relay/test_logchoices.py", "tests/relay/test_views_log.py"

FAULTS = (
    Fault(
        18,
        "relay/submission.py",
        "logfields.tighter(who.profile, message.header.controls.log)",
        "message.header.controls.log or who.profile",
        f"{LOGGED}::test_log_holds_what_both_allow",
    ),
    Fault(
        18,
        "relay/smtp/controls.py",
        "    if asked not in PROFILES:\n        raise Refused\n",
        "    if asked not in PROFILES:\n        return before\n",
        f"{LOGGED}::test_unclear_wish_refuses_the_mail",
    ),
    Fault(
        18,
        "relay/senders.py",
        "profile=profile or PROFILES[0],",
        "profile=PROFILES[-1],",
        f"{LOGGED}::test_log_holds_what_both_allow",
    ),
    Fault(
        18,
        FIELDS,
        "header=header_text(message.content, header) if profile == HEADERS else None,",
        "header=header_text(message.content, header),",
        f"{LOGGED}::test_log_holds_what_both_allow",
    ),
    Fault(
        0,
        FIELDS,
        "pieces.append(content[position:start])",
        "pieces.append(content[position:end])",
        f"{LOGGED}::test_whole_header_is_kept_without_hidden_recipients",
    ),
    Fault(
        0,
        FIELDS,
        "organisation_id.bytes + identifier.encode()",
        "identifier.encode()",
        f"{LOGGED}::test_message_id_is_found_under_its_own_organisation_alone",
    ),
    Fault(
        0,
        "relay/forms/log.py",
        'if self.asks and not data["agreed"]:',
        "if self.shortens and not data['agreed']:",
        f"{CHOICES}::test_more_is_asked_about_once_more",
    ),
    Fault(
        0,
        "relay/views/log.py",
        '"header": "" if masked else log.header_of(timeline.message),',
        '"header": log.header_of(timeline.message),',
        f"{CHOICES}::test_subject_name_and_header_are_for_those_who_see_addresses",
    ),
    Fault(
        45,
        "relay/log.py",
        'rows.order_by("number")',
        'rows.order_by("-number")',
        f"{PAGES}::test_timeline_tells_of_encryption_and_of_what_came_later",
    ),
    Fault(
        0,
        QUERIES,
        "AND (accepted_at, id) < (%(at)s, %(id)s)",
        "AND accepted_at < %(at)s",
        f"{SEARCHING}::test_pages_hold_each_message_once",
    ),
    Fault(
        0,
        QUERIES,
        "AND (accepted_at, message_id) < (%(at)s, %(id)s)",
        "AND accepted_at < %(at)s",
        f"{SEARCHING}::test_pages_hold_each_message_once",
    ),
    Fault(
        0,
        SEARCH,
        "        if not looks.left:\n",
        "        if looks.left < 0:\n",
        f"{SEARCHING}::test_pages_hold_each_message_once",
    ),
    Fault(
        0,
        SEARCH,
        '"most": self.left}',
        '"most": LOOKED_THROUGH}',
        f"{SEARCHING}::test_page_goes_through_so_many_rows_in_all_its_looks",
    ),
    Fault(
        0,
        SEARCH,
        "judges = [bool(names - driver.settles) for names in asked]",
        "judges = [False for names in asked]",
        f"{SEARCHING}::test_filters_meet_whichever_drives",
    ),
    Fault(
        0,
        QUERIES,
        "    AND recipient ~>=~ %(recipient)s AND recipient ~<~ %(recipient_beyond)s",
        "    AND recipient LIKE %(recipient)s || '%%'",
        f"{SEARCHING}::test_each_filter_goes_down_its_own_index",
    ),
    Fault(
        0,
        QUERIES,
        "AND sender = %(sender)s",
        "AND lower(sender) = %(sender)s",
        f"{SEARCHING}::test_each_filter_goes_down_its_own_index",
    ),
    Fault(
        0,
        "accounts/spreadsheets.py",
        """_NEXT_CELL.sub(r"\\1'", text.replace("\\0", ""))""",
        """text.replace("\\0", "")""",
        "tests/gdpr/test_archives.py::test_formula_after_what_ends_a_cell_elsewhere_is_text",
    ),
    Fault(
        0,
        "relay/suppressions.py",
        "            expires_at=entry.expires_at,\n",
        "",
        "tests/relay/test_views_suppressions.py"
        "::test_exported_list_keeps_domain_reason_and_end_elsewhere",
    ),
    Fault(
        0,
        "accounts/spreadsheets.py",
        """return f"'{text}" if _is_begun(text) else text""",
        """return f"'{text}" if text.startswith("=") else text""",
        f"{DOWNLOADS}::test_no_cell_is_a_formula",
    ),
    Fault(
        0,
        "accounts/spreadsheets.py",
        """text.lstrip("'").startswith(FORMULA)""",
        "text.startswith(FORMULA)",
        "tests/relay/test_views_suppressions.py::test_exported_list_comes_back_as_it_was",
    ),
    Fault(
        0,
        "relay/suppressions.py",
        "delimiter=_delimiter(text), strict=False",
        'delimiter=",", strict=False',
        "tests/relay/test_views_suppressions.py"
        "::test_exported_list_keeps_domain_reason_and_end_elsewhere",
    ),
    Fault(
        0,
        FILES,
        "shown = masking.masked if asked.masked else str",
        "shown = str",
        f"{DOWNLOADS}::test_viewer_gets_it_masked",
    ),
    Fault(
        0,
        FILES,
        ", timezone.override(asked.zone):",
        ":",
        f"{DOWNLOADS}::test_days_are_those_of_who_asks",
    ),
    Fault(
        0,
        FILES,
        "if asked.search.matches(delivery):",
        "if delivery:",
        f"{DOWNLOADS}::test_only_what_was_searched_for",
    ),
    Fault(
        0,
        FILES,
        "        _open.discard(self)\n        self._turn.close()",
        "        _open.discard(self)",
        f"{DOWNLOADS}::test_turn_is_given_back_whenever_somebody_leaves",
    ),
    Fault(
        0,
        PERIODS,
        "    AND NOT EXISTS (SELECT FROM relay_queueddelivery q WHERE q.message_id = m.id)\n",
        "",
        f"{SHORTER}::test_what_waits_stays_until_it_is_final",
    ),
    Fault(
        0,
        PERIODS,
        "WHERE m.organisation_id = %(organisation)s AND m.accepted_at <= %(until)s",
        "WHERE m.accepted_at <= %(until)s AND %(organisation)s IS NOT NULL",
        f"{SHORTER}::test_only_theirs_go",
    ),
    Fault(
        0,
        PERIODS,
        "now - timedelta(days=days) + ahead",
        "now - timedelta(days=days)",
        f"{SHORTER}::test_rows_go_in_the_hour_before_their_days_are_over",
    ),
    Fault(
        0,
        PERIODS,
        '("report", "ending", "messageheader", "attempt", "delivery")',
        '("report", "ending", "attempt", "delivery")',
        f"{SHORTER}::test_rows_go_in_the_hour_before_their_days_are_over",
    ),
    Fault(
        0,
        PERIODS,
        "return min((found, *_oldest_of_each())) if found else None",
        "return found",
        f"{SHORTER}::test_gauge_counts_from_the_days_that_were_chosen",
    ),
)
