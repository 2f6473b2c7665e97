# SPDX-License-Identifier: AGPL-3.0-or-later
"""Traps of aiosmtpd 1.4.6, measured or read, and the tests that show each of them shut."""

from __future__ import annotations

from tests.planted.receiving import DIALOGUE, HEADERS, SUBMISSION

SIGN_IN = "tests/relay/smtp/test_sign_in.py"
LISTENER = "tests/relay/smtp/test_listener.py"
MEMORY = "tests/relay/smtp/test_memory.py"
CROWD = "tests/relay/smtp/test_crowd.py"
SMTPD = "tests/relay/test_smtpd.py"

TRAPS = {
    "implicit TLS: AUTH is neither offered nor allowed": (
        f"{SIGN_IN}::test_tls_versions_and_cipher_are_known",
        f"{SMTPD}::test_both_ports_store_mail_and_nothing_is_logged",
    ),
    "the mechanism's name is read in one case only": (
        f"{SIGN_IN}::test_plain_with_initial_response",
        f"{SIGN_IN}::test_login_in_two_steps",
    ),
    "no bound for failed sign-ins, connections, recipients, messages, commands": (
        f"{SIGN_IN}::test_third_failure_ends_the_connection",
        f"{SUBMISSION}::test_guessing_is_stopped_before_the_password_is_looked_at",
        f"{CROWD}::test_known_clients_stay_and_the_late_one_is_refused",
        f"{CROWD}::test_silent_client_makes_room_for_the_late_one",
        f"{DIALOGUE}::test_too_many_recipients_wait_and_far_too_many_end_the_connection",
        f"{LISTENER}::test_messages_on_one_connection_are_counted",
        f"{DIALOGUE}::test_commands_without_a_message_are_capped",
    ),
    "the authenticator blocks the event loop": (
        f"{SUBMISSION}::test_unknown_and_known_users_cost_the_same",
    ),
    "an exception is answered with 500 and its text": (
        f"{DIALOGUE}::test_failure_is_temporary_and_silent",
        f"{DIALOGUE}::test_failure_before_the_greeting_hangs_up",
    ),
    "the logger mail.log writes addresses and content": (
        f"{DIALOGUE}::test_no_address_is_logged",
        f"{SMTPD}::test_both_ports_store_mail_and_nothing_is_logged",
    ),
    "AUTH=<>, RET, ENVID, NOTIFY, ORCPT are refused, and parameters are changed": (
        "tests/relay/smtp/test_parameters.py::test_mail_parameters_are_read",
        f"{DIALOGUE}::test_envelope_keeps_what_the_client_said",
    ),
    "the null sender is the text <>": (f"{DIALOGUE}::test_null_sender_is_empty",),
    "addresses without domain, with routes or comments, lines that end in LF": (
        "tests/relay/smtp/test_addresses.py::test_path_is_refused",
        "tests/relay/smtp/test_smuggling.py::test_bare_line_feed_in_commands_is_refused",
    ),
    "bare LF, bare CR and NUL in the content are kept": (
        "tests/relay/smtp/test_smuggling.py::test_false_end_of_data_is_refused",
        f"{HEADERS}::test_lines_are_refused",
    ),
    "a line beyond 1,000 octets is answered with 500": (
        f"{HEADERS}::test_lines_within_the_bound_pass",
        f"{HEADERS}::test_lines_are_refused",
    ),
    "one time limit for a command cuts content that keeps coming": (
        f"{LISTENER}::test_slow_drip_ends_and_steady_flow_does_not",
        f"{LISTENER}::test_silence_in_data_ends_the_connection",
    ),
    "content is in memory twice": (
        f"{MEMORY}::test_memory_is_shared_and_given_back",
        f"{MEMORY}::test_message_that_was_taken_is_held_no_longer",
        f"{MEMORY}::test_edit_copies_the_message_once",
        f"{MEMORY}::test_policy_alone_holds_the_message",
        f"{SUBMISSION}::test_message_waits_for_the_commit_as_one_copy",
    ),
    "one loop on one core, which large mail holds up": (
        f"{SMTPD}::test_two_processes_share_the_ports",
        f"{SMTPD}::test_address_behind_a_balancer_is_the_clients",
        f"{DIALOGUE}::test_flood_of_commands_lets_others_have_their_turn",
    ),
    "PIPELINING is not announced": (
        f"{DIALOGUE}::test_extensions_are_announced",
        f"{DIALOGUE}::test_pipelined_group_is_answered_in_order",
    ),
    "most replies have no enhanced code": (
        "tests/relay/test_views_help.py::test_every_reply_has_an_enhanced_code",
    ),
    "recipients' parameters are one flat list": (
        f"{DIALOGUE}::test_envelope_keeps_what_the_client_said",
    ),
    "smuggling past the end of DATA (CVE-2024-27305)": (
        "tests/relay/smtp/test_smuggling.py::test_false_end_of_data_is_refused",
    ),
    "commands before the handshake count after it (CVE-2024-34083)": (
        f"{SIGN_IN}::test_commands_sent_before_the_handshake_are_discarded",
    ),
}
