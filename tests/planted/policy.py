# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in who may send what: sign-in, credentials, wishes in the header, quotas."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
SENDERS, HEADERS = "tests/relay/test_senders.py", "tests/relay/smtp/test_headers.py"
SIGN_IN, METERING = "tests/relay/smtp/test_sign_in.py", "tests/relay/test_metering.py"
POLICY, NULL_PATH = "relay/submission.py", "tests/relay/test_null_path.py"

FAULTS = (
    Fault(
        6,
        POLICY,
        "return None if granted else answers.OVER_RECIPIENTS",
        "return None",
        f"{SENDERS}::test_recipients_beyond_the_days_number_are_refused_and_the_others_pass",
    ),
    Fault(
        8,
        POLICY,
        "        owners = await self._senders.owners_at(client.address)\n",
        "        owners = frozenset[UUID]()\n",
        f"{NULL_PATH}::test_null_path_is_whose_from_is_whoever_else_names_the_network",
    ),
    Fault(
        14,
        POLICY,
        "        if foreign is not None:",
        "        if foreign is not None and not is_late:",
        f"{NULL_PATH}::test_null_path_of_a_shared_network_is_nobodys_who_has_not_proven_from",
    ),
    Fault(
        6,
        POLICY,
        "refuse = self._late_refusal if is_late else self._list_refusal",
        "refuse = self._list_refusal",
        f"{NULL_PATH}::test_null_path_of_a_shared_network_is_bound_as_any_other_mail",
    ),
    Fault(
        7,
        POLICY,
        "return Undecided(owners if len(owners) > 1 else next(iter(owners)))",
        "return Undecided(min(owners))",
        f"{NULL_PATH}::test_null_path_of_a_shared_network_is_counted_for_neither_alone",
    ),
    Fault(
        8,
        POLICY,
        "return not sender.is_blocked and sender.admits(client.address)",
        "return sender.admits(client.address)",
        f"{SENDERS}::test_blocked_credential_is_answered_as_a_wrong_password_is",
    ),
    Fault(
        8,
        POLICY,
        "return not sender.is_blocked and sender.admits(client.address)",
        "return not sender.is_blocked",
        f"{SENDERS}::test_networks_say_from_where",
    ),
    Fault(
        8,
        POLICY,
        "        shown = vault.keyed_hash(",
        "        if sender:\n"
        '            await __import__("asyncio").sleep(0.05)\n'
        "        shown = vault.keyed_hash(",
        "tests/relay/test_submission.py::test_unknown_and_known_users_cost_the_same",
    ),
    Fault(
        8,
        POLICY,
        "network = limits.network(client.address)",
        "network = client.address",
        "tests/security/test_guessing.py::test_most_guesses_are_never_looked_at",
    ),
    Fault(
        8,
        "relay/smtp/session.py",
        "        self._failed_sign_ins += 1\n",
        '        self._failed_sign_ins += 1\n        logger.debug("no %s", password)\n',
        f"{SIGN_IN}::test_nothing_of_a_sign_in_is_logged",
    ),
    Fault(
        8,
        "relay/senders.py",
        "is_plain = len(owners) == 1 and len(fitting[0]) == 1",
        "is_plain = len(owners) == 1",
        f"{SENDERS}::test_network_of_two_is_neithers",
    ),
    Fault(
        8,
        "relay/senders.py",
        "if sender and (domain is None or sender.owns(domain) or sender.awaits_check(domain))",
        "if sender",
        f"{SENDERS}::test_who_names_anothers_network_takes_nothing_from_them",
    ),
    Fault(
        8,
        "relay/senders.py",
        "is_plain = len(owners) == 1 and",
        "is_plain = len(owners) >= 1 and",
        f"{SENDERS}::test_null_path_is_taken_where_one_organisation_is_named",
    ),
    Fault(
        8,
        "relay/smtp/networks.py",
        "if n <= peer.max_prefixlen), reverse=True)",
        "if n <= peer.max_prefixlen))",
        f"{SENDERS}::test_most_specific_network_says_which_credential_it_is",
    ),
    Fault(
        8,
        "relay/smtp/server.py",
        "if not (self.client.identity or self.may_sign_in or self.listener.is_open):",
        "if not self.client.identity and self._under_way:",
        f"{SENDERS}::test_mail_from_the_network_is_taken_over_tls_and_bears_no_sign_in",
    ),
    Fault(
        9,
        "relay/smtpd.py",
        "context.minimum_version = MINIMUM_VERSION",
        "context.minimum_version = ssl.TLSVersion.TLSv1",
        f"{SIGN_IN}::test_old_tls_is_refused_by_the_server_itself",
    ),
    Fault(
        12,
        "relay/smtp/server.py",
        "recipients=tuple(self._recipients.values()),",
        'recipients=(*self._recipients.values(), *[Recipient("ida@other.example")] * ('
        'b"To: ida" in octets)),',
        f"{SENDERS}::test_to_and_cc_add_no_recipient",
    ),
    Fault(
        14,
        "relay/senders.py",
        "not self.own_domains or within(domain, self.own_domains)",
        "True",
        f"{SENDERS}::test_own_domains_narrow_and_never_widen",
    ),
    Fault(
        14,
        "relay/senders.py",
        "return within(domain, proven, self.delegated) and (",
        "return (",
        f"{SENDERS}::test_own_domains_narrow_and_never_widen",
    ),
    Fault(
        17,
        "relay/smtp/headers.py",
        "header.received > MOST_RECEIVED or header.received_here > MOST_OWN",
        "header.received > MOST_RECEIVED",
        f"{SENDERS}::test_message_that_comes_by_again_and_again_is_a_loop",
    ),
    Fault(
        17,
        "relay/smtp/headers.py",
        'name.rstrip(b".").lower() == hostname.lower()',
        'hostname.lower() in name.rstrip(b".").lower()',
        f"{HEADERS}::test_received_by_another_is_no_mark_of_ours",
    ),
    Fault(
        18,
        "relay/smtp/controls.py",
        'if _word(value) != b"yes":',
        "if not value:",
        f"{HEADERS}::test_control_field_that_loosens_or_is_unclear_is_refused",
    ),
    Fault(
        18,
        "relay/smtp/headers.py",
        "        header.dropped.append(span)\n        _control(",
        "        _control(",
        f"{SENDERS}::test_wish_for_tls_is_stored_and_its_field_is_not",
    ),
    Fault(
        18,
        POLICY,
        "require_tls=message.header.controls.require_tls,",
        "require_tls=False,",
        f"{SENDERS}::test_wish_for_tls_is_stored_and_its_field_is_not",
    ),
    Fault(
        26,
        "relay/metering.py",
        "or work.message_id in self._counted ",
        "",
        f"{METERING}::test_message_counts_once_however_often_it_is_carried",
    ),
    Fault(
        26,
        "relay/metering.py",
        "            self._allowance.give_back(name, HOUR)\n",
        "",
        f"{METERING}::test_day_that_is_used_up_costs_the_hour_nothing",
    ),
    Fault(
        26,
        "relay/metering.py",
        "    AND messages_an_hour IS NOT DISTINCT FROM %(hour)s\n",
        "    AND %(hour)s::bigint IS NOT DISTINCT FROM %(hour)s\n",
        f"{METERING}::test_quota_that_was_changed_meanwhile_holds_nothing",
    ),
    Fault(
        26,
        "relay/metering.py",
        "await self._hold(work.organisation_id, figures, self._ends_at(seconds))",
        "self._ends_at(seconds)",
        f"{METERING}::test_what_is_above_waits_until_the_window_ends",
    ),
    Fault(
        26,
        "relay/quotas.py",
        "held.filter(reason=Hold.Reason.OVER_QUOTA).delete()",
        "held.filter(reason=Hold.Reason.OVER_QUOTA).exists()",
        f"{METERING}::test_grant_releases_what_the_quota_held_alone_and_is_recorded",
    ),
    Fault(
        6,
        "relay/senders.py",
        "if not sender.suppresses:",
        "if sender.suppresses:",
        "tests/relay/test_suppression.py::test_address_on_the_list_is_refused_and_the_others_pass",
    ),
    Fault(
        42,
        "relay/bouncerates.py",
        "LEAST = 200",
        "LEAST = 2000",
        "tests/relay/test_bouncerates.py::"
        "test_more_than_the_most_of_enough_deliveries_stops_a_domain",
    ),
    Fault(
        14,
        POLICY,
        "return answers.UNCHECKED_DOMAIN if who.awaits_check(address.domain) else refusal",
        "return refusal",
        "tests/relay/test_submission.py::test_look_that_this_service_owes_refuses_nothing_for_good",
    ),
    Fault(
        14,
        "relay/senders.py",
        "                OR d.state = 'failing' AND d.reason = 'unreachable')),",
        "                )),",
        "tests/relay/test_submission.py::test_look_that_this_service_owes_refuses_nothing_for_good",
    ),
    Fault(
        14,
        "relay/verification.py",
        "    if reason is Reason.UNREACHABLE:\n        return State(domain.state)\n",
        "",
        "tests/relay/test_verification.py::test_silent_name_servers_take_no_domain_away",
    ),
    Fault(
        14,
        "relay/senders.py",
        "sender.owns(domain) or sender.awaits_check(domain))",
        "sender.owns(domain))",
        "tests/relay/test_null_path.py"
        "::test_mail_of_a_network_waits_for_a_look_that_this_service_owes",
    ),
)
