# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in sending mail on: behaviours 28 to 40."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
EGRESS, HOSTILE = "relay/egress.py", "tests/security/test_egress.py"
REPLIES, JUDGING = "relay/smtp/replies.py", "tests/relay/smtp/test_replies.py"
HANDSHAKE, SHAKING = "relay/smtp/handshake.py", "tests/relay/smtp/test_handshake.py"
TRANSACTION, CLIENT = "relay/smtp/transaction.py", "tests/relay/smtp/test_client.py"
COMMANDS, CLEAR = "relay/smtp/commands.py", "tests/security/test_clear_text.py"
NEWLINES = "tests/security/test_newlines.py"
DELIVERY, DELIVERING = "relay/delivery.py", "tests/relay/test_delivery.py"
SEATS, SENDING = "relay/transports/seats.py", "tests/relay/transports/test_smarthost.py"

FAULTS = (
    Fault(
        29,
        EGRESS,
        "if not all(self._may_reach(address, port) for address in found):",
        "if not any(self._may_reach(address, port) for address in found):",
        f"{HOSTILE}::test_no_hostile_host_gets_a_socket_and_all_get_one_answer",
    ),
    Fault(
        29,
        EGRESS,
        "        found = await self._resolve(name)\n",
        "        found = await self._resolve(name)\n        found = await self._resolve(name)\n",
        f"{HOSTILE}::test_a_name_that_flips_is_resolved_once_and_reached_where_it_was_checked",
    ),
    Fault(
        29,
        EGRESS,
        "await asyncio.sleep(started + self.refusal_seconds - loop.time())",
        "await asyncio.sleep(0)",
        f"{HOSTILE}::test_no_refusal_comes_sooner_than_another",
    ),
    Fault(
        29,
        EGRESS,
        "return bool(forms & self.own_addresses) or any(map(_is_held, forms))",
        "return any(map(_is_held, forms))",
        f"{HOSTILE}::test_no_hostile_host_gets_a_socket_and_all_get_one_answer",
    ),
    Fault(
        29,
        HANDSHAKE,
        "if name.lower() != self._ehlo_name.lower():",
        "if name:",
        f"{SHAKING}::test_server_that_bears_our_name_gets_no_mail",
    ),
    Fault(
        31,
        REPLIES,
        "if is_mx and closed and not refuses_host",
        "if closed and not refuses_host",
        f"{SHAKING}::test_host_of_the_dns_that_takes_no_mail_ends_it_and_a_customers_own_does_not",
    ),
    Fault(
        31,
        REPLIES,
        "signs_in = not is_mx and not demands_tls(reply.text)",
        "signs_in = not demands_tls(reply.text)",
        f"{JUDGING}::test_a_host_of_the_dns_never_blames_the_route",
    ),
    Fault(
        31,
        REPLIES,
        "signs_in = not is_mx and not demands_tls(reply.text)",
        "signs_in = not is_mx",
        f"{DELIVERING}::test_server_that_wants_tls_first_does_not_pause_the_route",
    ),
    Fault(
        31,
        REPLIES,
        "    if refuses_host(reply.enhanced, reply.text):\n        return _DEFERRED\n",
        "",
        f"{JUDGING}::test_judge_names_verdict_and_scope",
    ),
    Fault(
        31,
        "relay/smtp/wording.py",
        " or _RELAY_DENIED.search(used)",
        "",
        f"{JUDGING}::test_judge_names_verdict_and_scope",
    ),
    Fault(
        31,
        REPLIES,
        'return f"{self.code // 100}.{match[2]}" if match else ""',
        'return match[0] if match else ""',
        f"{JUDGING}::test_enhanced_class_follows_the_code",
    ),
    Fault(
        31,
        DELIVERY,
        "if any(one and is_host_refusal(one) for one in found):",
        "if not found:",
        f"{DELIVERING}::test_operator_is_told_where_this_host_is_refused",
    ),
    Fault(
        32,
        DELIVERY,
        "if any(one and one.scope is Scope.ROUTE and one.code for one in found):",
        "if not found:",
        f"{DELIVERING}::test_refused_sign_in_pauses_the_route_and_keeps_the_mail",
    ),
    Fault(
        33,
        TRANSACTION,
        "after_dot=self._dot_sent,",
        "after_dot=False,",
        f"{CLIENT}::test_end_after_the_dot_is_possibly_delivered",
    ),
    Fault(
        33,
        HANDSHAKE,
        "dot: float = 600",
        "dot: float = 60",
        f"{SHAKING}::test_limits_are_those_of_the_standard",
    ),
    Fault(
        33,
        HANDSHAKE,
        "return max(min(seconds, self._until - self._loop.time()), 0.001)",
        "return seconds",
        f"{SHAKING}::test_all_that_comes_before_mail_shares_one_limit",
    ),
    Fault(
        34,
        HANDSHAKE,
        "lenient = self._target.tls is TlsPolicy.OPPORTUNISTIC and not self._target.username",
        "lenient = self._target.tls is TlsPolicy.OPPORTUNISTIC",
        f"{SHAKING}::test_sign_in_by_plain_or_login",
    ),
    Fault(
        34,
        HANDSHAKE,
        "if not self._peer.evidence.verified:",
        "if not self._peer:",
        f"{CLEAR}::test_where_tls_is_required_nothing_travels_without_it",
    ),
    Fault(
        34,
        HANDSHAKE,
        "        if self._wire.pending:\n",
        "        if not reply:\n",
        f"{SHAKING}::test_words_injected_before_the_encryption_are_refused",
    ),
    Fault(
        34,
        HANDSHAKE,
        "result=TlsResult.FAILED).run()",
        "result=TlsResult.NOT_OFFERED).run()",
        f"{CLEAR}::test_where_tls_is_only_wished_for_the_mail_arrives_and_its_outcome_is_true",
    ),
    Fault(
        35,
        SEATS,
        "young and connection.sent < MAX_MESSAGES",
        "young",
        f"{SENDING}::test_connection_is_left_after_a_hundred_messages_or_five_minutes",
    ),
    Fault(
        35,
        "relay/transports/__init__.py",
        "return self is other or self == other or self == other.demanding_tls()",
        "return self is other or self.host == other.host",
        f"{SENDING}::test_other_credentials_never_meet_a_kept_connection",
    ),
    Fault(
        36,
        TRANSACTION,
        'return reply.enhanced.endswith(".5.3") or (',
        "return bool(",
        f"{CLIENT}::test_recipients_past_the_servers_limit_are_for_the_next_transaction",
    ),
    Fault(
        36,
        COMMANDS,
        "if features.size and len(content) > features.size:",
        "if features.size and not content:",
        f"{CLIENT}::test_what_the_server_cannot_take_is_never_offered",
    ),
    Fault(
        37,
        COMMANDS,
        "return bool(_MAILBOX.fullmatch(address)) and",
        "return bool(_MAILBOX.match(address)) and",
        f"{CLIENT}::test_only_the_bad_address_is_refused",
    ),
    Fault(
        37,
        HANDSHAKE,
        "if not _HOST_NAME.fullmatch(ehlo_name):",
        "if not _HOST_NAME.match(ehlo_name):",
        f"{SHAKING}::test_ehlo_name_cannot_end_the_line",
    ),
    Fault(
        2,
        COMMANDS,
        'stuffed = content.replace(b"\\r\\n.", b"\\r\\n..") if b"\\r\\n." in content else content',
        "stuffed = content",
        f"{NEWLINES}::test_refused_mail_reaches_nobody_and_the_rest_arrives_once",
    ),
    Fault(
        38,
        "relay/smtp/headers.py",
        'if b"\\0" in content:',
        "if False:",
        f"{NEWLINES}::test_refused_mail_reaches_nobody_and_the_rest_arrives_once",
    ),
    Fault(
        34,
        HANDSHAKE,
        "        self._note(TlsResult.FAILED)\n        try:\n",
        "        try:\n",
        f"{SHAKING}::test_opportunistic_tls_goes_on_in_clear",
    ),
    Fault(
        34,
        HANDSHAKE,
        "return TlsResult.PLAIN if policy is TlsPolicy.NONE else TlsResult.UNKNOWN",
        "return TlsResult.PLAIN",
        f"{SHAKING}::test_nothing_is_said_of_encryption_that_was_never_come_to",
    ),
    Fault(
        34,
        HANDSHAKE,
        "            if policy is not TlsPolicy.OPPORTUNISTIC:\n                raise\n",
        "            if policy is not None:\n                raise\n",
        f"{SHAKING}::test_opportunistic_tls_goes_on_in_clear",
    ),
    Fault(
        34,
        "relay/smtp/tls.py",
        "    verified.hostname_checks_common_name = False\n",
        "",
        "tests/relay/smtp/test_tls.py::test_contexts_refuse_old_tls_and_differ_in_verification",
    ),
    Fault(
        35,
        "relay/transports/dialling.py",
        "return outcomes if target.is_demanded else _undemanded(outcomes, seat, target)",
        "return outcomes",
        f"{SENDING}::test_mail_on_anothers_checked_connection_is_told_of_its_own_demand",
    ),
    Fault(
        37,
        COMMANDS,
        "if _XTEXT.fullmatch(envelope.envid):",
        "if _XTEXT.match(envelope.envid):",
        "tests/relay/smtp/test_commands.py"
        "::test_text_that_begins_well_and_goes_on_in_another_line_is_left_out",
    ),
)
