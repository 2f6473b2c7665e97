# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults in handing mail to providers: what behaviours 32, 33 and 37 ask of that kind of route."""

from __future__ import annotations

from tests.planted.fault import Fault

# Where the code and the tests are.
POSTING, SENDING = "relay/esp/posting.py", "tests/relay/transports/test_esp.py"
COMPOSING, PIECES = "relay/esp/composing.py", "tests/relay/esp/test_composing.py"

FAULTS = (
    Fault(
        32,
        POSTING,
        "_REFUSED_KEY = 401",
        "_REFUSED_KEY = 404",
        f"{SENDING}::test_a_key_that_nobody_knows_is_a_refused_sign_in",
    ),
    Fault(
        33,
        POSTING,
        "_UNCERTAIN = (500, 502, 504)",
        "_UNCERTAIN = ()",
        f"{SENDING}::test_what_may_have_been_taken_is_never_called_untaken",
    ),
    Fault(
        33,
        POSTING,
        "session.max_redirects = 0",
        "session.max_redirects = 30",
        f"{SENDING}::test_cookies_redirects_and_settings_of_the_host_are_not_followed",
    ),
    Fault(
        37,
        COMPOSING,
        "    if _BREAK.search(text):\n",
        "    if False:\n",
        f"{PIECES}::test_a_line_end_hidden_in_a_word_is_refused",
    ),
    Fault(
        37,
        COMPOSING,
        '.replace("\\r\\n", "\\n").replace("\\r", "\\n").replace("\\0", "\\ufffd")',
        '.replace("\\r\\n", "\\n")',
        f"{PIECES}::test_no_end_of_line_but_one_and_no_nul_comes_out_of_an_encoding",
    ),
)
