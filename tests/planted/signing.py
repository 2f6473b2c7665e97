# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in what signs mail, and in which key does."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
DKIM, KEYS, SIGNING = "relay/smtp/dkim.py", "relay/dkimkeys.py", "relay/signing.py"
OF_DKIM, OF_KEYS = "tests/relay/smtp/test_dkim.py", "tests/relay/test_dkimkeys.py"
OF_SIGNING = "tests/relay/test_signing.py"

FAULTS = (
    Fault(
        38,
        "relay/smtp/headers.py",
        'if content.count(b"\\n") != ends or content.count(b"\\r") != ends:',
        'if content.count(b"\\n") != ends:',
        f"{OF_SIGNING}::test_only_what_has_whole_line_ends_is_signed_and_it_verifies_where_it_arrives",
    ),
    Fault(
        39,
        DKIM,
        "[name] * (len(found) + (name in OVERSIGNED))",
        "[name] * len(found)",
        f"{OF_DKIM}::test_no_second_field_can_be_added_on_the_way",
    ),
    Fault(
        39,
        DKIM,
        "fields += reversed(found)",
        "fields += found",
        f"{OF_DKIM}::test_signatures_verify_whatever_the_header",
    ),
    Fault(
        39,
        DKIM,
        "return secret.sign(hashlib.sha256(text).digest())",
        "return secret.sign(text)",
        f"{OF_DKIM}::test_signatures_verify_whatever_the_body",
    ),
    Fault(
        39,
        DKIM,
        'kept = text.rstrip(b"\\r\\n")',
        "kept = text",
        f"{OF_DKIM}::test_body_is_hashed_in_its_relaxed_form_however_it_is_cut",
    ),
    Fault(
        39,
        KEYS,
        "if not is_asked and (key.seen_at is None or now - key.seen_at < AGAIN):",
        "if not is_asked and key.seen_at is None:",
        f"{OF_KEYS}::test_key_signs_after_two_looks_apart",
    ),
    Fault(
        39,
        KEYS,
        "if finding in THERE or missing < GRACE:",
        "if finding in THERE:",
        f"{OF_KEYS}::test_key_whose_record_is_gone_signs_on_for_three_days",
    ),
    Fault(
        39,
        KEYS,
        "if finding is not Finding.FOUND:",
        "if finding is Finding.UNREACHABLE:",
        f"{OF_KEYS}::test_old_key_signs_until_the_new_one_was_seen",
    ),
    Fault(
        39,
        SIGNING,
        "    AND k.signs_since IS NOT NULL AND k.retired_at IS NULL\n",
        "",
        f"{OF_SIGNING}::test_mail_of_nobody_with_a_key_arrives_as_it_is",
    ),
    Fault(
        39,
        SIGNING,
        "[key for key in keys if key.domain == keys[0].domain]",
        "keys",
        f"{OF_SIGNING}::test_name_below_is_signed_for_by_the_nearest_that_has_a_key",
    ),
    Fault(
        39,
        SIGNING,
        "self._known[owner] = until, keys",
        "self._known[owner] = until * 2, keys",
        f"{OF_SIGNING}::test_retired_key_signs_for_a_minute_at_most",
    ),
    Fault(
        40,
        SIGNING,
        "return await dkim.signed(content, keys, self._now()) if keys else content",
        'content = content.replace(b" \\r\\n", b"\\r\\n")\n'
        "        return await dkim.signed(content, keys, self._now()) if keys else content",
        f"{OF_SIGNING}::test_what_was_signed_before_is_left_as_it_is",
    ),
)
