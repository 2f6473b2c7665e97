# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in delivering straight to the recipients' mail servers: behaviours 28 to 35."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
MX, CHOOSING = "relay/smtp/mx.py", "tests/relay/smtp/test_mx.py"
STS, READING = "relay/smtp/sts.py", "tests/relay/smtp/test_sts.py"
RESOLVING, ASKING = "relay/resolving.py", "tests/relay/test_resolving.py"
DIALLING, DIRECT = "relay/transports/dialling.py", "relay/transports/direct.py"
REACHING = "tests/relay/transports/test_direct.py"
ENCRYPTING = "tests/relay/transports/test_direct_tls.py"
POLICIES, KEEPING = "relay/stspolicies.py", "tests/relay/test_destinations.py"
FETCHING, FETCHED = "relay/stsfetch.py", "tests/relay/test_stsfetch.py"
CHECKS, CHECKING = "relay/checks.py", "tests/relay/test_checks.py"

FAULTS = (
    Fault(
        28,
        MX,
        "key=lambda one: (one.preference, random())",
        "key=lambda one: (-one.preference, random())",
        f"{REACHING}::test_preferred_server_gets_the_mail_and_a_connection_is_kept",
    ),
    Fault(
        28,
        MX,
        "key=lambda one: (one.preference, random())",
        "key=lambda one: one.preference",
        f"{CHOOSING}::test_equals_are_tried_in_any_order",
    ),
    Fault(
        28,
        MX,
        "return (), NULL",
        "return (), ADDRESSLESS",
        f"{REACHING}::test_what_the_dns_says_ends_the_mail_or_lets_it_wait",
    ),
    Fault(
        28,
        MX,
        "return (), SILENT",
        "return (), UNKNOWN",
        f"{REACHING}::test_what_the_dns_says_ends_the_mail_or_lets_it_wait",
    ),
    Fault(
        28,
        MX,
        "            nowhere = LOOP\n            break\n",
        "            nowhere = LOOP\n            continue\n",
        f"{CHOOSING}::test_what_is_not_preferred_to_ourselves_is_left_out",
    ),
    Fault(
        28,
        RESOLVING,
        "if errors and not addresses:",
        "if errors:",
        f"{ASKING}::test_one_family_that_answers_is_enough",
    ),
    Fault(
        28,
        RESOLVING,
        "if key[1] is dns.rdatatype.ANY:",
        "if key[1] is dns.rdatatype.A:",
        f"{ASKING}::test_name_that_is_denied_for_one_family_goes_on_existing",
    ),
    Fault(
        29,
        DIRECT,
        "found = self.guard.usable(host.addresses, self.port)",
        "found = host.addresses",
        f"{REACHING}::test_inner_addresses_are_left_out_and_no_socket_goes_there",
    ),
    Fault(
        29,
        FETCHING,
        "usable = self._guard.usable(found, port)",
        "usable = tuple(found)",
        f"{FETCHED}::test_web_server_is_sought_at_public_addresses_only",
    ),
    Fault(
        30,
        DIRECT,
        'if self.ipv6 or ":" not in address',
        "if address",
        f"{REACHING}::test_ipv6_is_used_only_with_an_address_of_our_own",
    ),
    Fault(
        30,
        CHECKS,
        "return name in await resolver.names(address) and ip_address(address) in forward",
        "return ip_address(address) in forward",
        f"{CHECKING}::test_addresses_that_mail_leaves_from_bear_the_name_that_is_said",
    ),
    Fault(
        33,
        DIALLING,
        "and (outcome.code, outcome.stage) == (GOODBYE, Stage.MAIL)",
        "and outcome.code in (0, GOODBYE)",
        f"{REACHING}::test_no_other_server_is_asked_once_the_sender_was_named",
    ),
    Fault(
        34,
        DIRECT,
        "elif target.patterns and not sts.allows(target.patterns, host.name):",
        "elif target.patterns and not host.name:",
        f"{ENCRYPTING}::test_server_that_the_policy_does_not_name_is_not_even_connected_to",
    ),
    Fault(
        34,
        DIRECT,
        "and not target.waives:",
        "and not target.is_failing:",
        f"{ENCRYPTING}::test_testing_demands_nothing_and_a_sender_may_waive_what_the_recipient_asks",
    ),
    Fault(
        34,
        STS,
        "if len(ours) != 1",
        "if not ours",
        f"{READING}::test_id_of_the_one_record",
    ),
    Fault(
        34,
        POLICIES,
        "if known is not None and now < known.expires_at else None",
        "if known is not None and self._looking else None",
        f"{KEEPING}::test_known_policy_holds_until_it_expires_whatever_breaks",
    ),
    Fault(
        35,
        DIALLING,
        "with suppress(Stale):",
        "with suppress(SessionError):",
        f"{REACHING}::test_connection_that_died_meanwhile_is_replaced",
    ),
    Fault(
        35,
        "relay/transports/__init__.py",
        "return self is other or self == other or",
        "return True or",
        f"{ENCRYPTING}::test_organisations_share_a_connection_but_not_one_with_less_encryption",
    ),
)
