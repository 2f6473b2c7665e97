# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import ssl

import pytest

from relay.smtp.tls import make_contexts


@pytest.mark.behaviour(34)
def test_contexts_refuse_old_tls_and_differ_in_verification():
    contexts = make_contexts()
    for context in (contexts.verified, contexts.unverified):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert contexts.verified.verify_mode is ssl.CERT_REQUIRED
    assert contexts.verified.check_hostname
    # RFC 9525 §2: a common name is no name of a server.
    assert not contexts.verified.hostname_checks_common_name
    assert contexts.unverified.verify_mode is ssl.CERT_NONE


def test_missing_ca_file_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        make_contexts(str(tmp_path / "none.pem"))
