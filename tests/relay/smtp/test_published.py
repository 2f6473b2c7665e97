# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is found in DNS, judged: keys, SPF at a return-path, DMARC."""

from __future__ import annotations

import pytest

from relay.smtp import published
from relay.smtp.dkim import Algorithm
from relay.smtp.published import Finding

FOUND, MISSING, WRONG, SEVERAL, WEAK, _ = Finding
OURS = "_spf.retur.brevdue.example"


@pytest.mark.parametrize(
    ("texts", "finding"),
    [
        ([], MISSING),
        (["v=DKIM1; k=rsa; p=QUJD"], FOUND),
        (["p=QUJD"], FOUND),
        (["v=DKIM1;k=rsa;p=QU JD;"], FOUND),
        (["v=DKIM1; k=rsa; h=sha1:sha256; s=email; p=QUJD"], FOUND),
        (["v=DKIM1; k=rsa; p=QUJD; n=some words; x=unknown"], FOUND),
        (["v=DKIM1; k=rsa; t=s; p=QUJD"], FOUND),
        (["v=DKIM1; k=rsa; t=y:s; p=QUJD"], WEAK),
        (["v=DKIM1; k=rsa; p="], WRONG),
        (["v=DKIM1; k=rsa; p=QUJE"], WRONG),
        (["v=DKIM1; k=rsa; p=qujd"], WRONG),
        (["v=DKIM1; k=ed25519; p=QUJD"], WRONG),
        (["v=DKIM1; k=rsa; h=sha1; p=QUJD"], WRONG),
        (["v=DKIM1; k=rsa; s=tlsrpt; p=QUJD"], WRONG),
        (["k=rsa; p=QUJD; v=DKIM1"], WRONG),
        (["v=DKIM2; k=rsa; p=QUJD"], WRONG),
        (["v=DKIM1; k=rsa; p=QUJD; p=QUJE"], WRONG),
        (["v=spf1 -all"], WRONG),
        (["v=DKIM1; k=rsa; p=QUJD", "v=DKIM1; k=rsa; p=QUJD"], SEVERAL),
    ],
)
def test_key_record_is_ours_alone_and_in_force(texts: list[str], finding: Finding) -> None:
    assert published.key(texts, Algorithm.RSA, "QUJD").finding is finding


def test_key_record_of_the_other_kind() -> None:
    record = published.key_record(Algorithm.ED25519, "QUJD")
    assert record == "v=DKIM1; k=ed25519; p=QUJD"
    assert published.key([record], Algorithm.ED25519, "QUJD").finding is FOUND
    assert published.key(["p=QUJD"], Algorithm.ED25519, "QUJD").finding is WRONG


def test_long_value_is_quoted_in_strings_that_a_record_can_hold() -> None:
    value = "v=DKIM1; k=rsa; p=" + "A" * 392
    pieces = published.quoted(value).split('" "')
    assert [len(piece.strip('"')) for piece in pieces] == [255, 155]
    assert "".join(pieces).strip('"') == value
    assert published.quoted("short") == '"short"'


@pytest.mark.parametrize(
    ("texts", "finding"),
    [
        ([], MISSING),
        (["brevdue=abc", "v=spf10 -all", "v=spf1x"], MISSING),
        ([f"v=spf1 include:{OURS} -all"], FOUND),
        ([f"V=SPF1 mx  +Include:{OURS.upper()}. ~all", "other"], FOUND),
        ([f"v=spf1 redirect={OURS}"], FOUND),
        (["v=spf1"], WRONG),
        (["v=spf1 mx -all"], WRONG),
        ([f"v=spf1 -all include:{OURS}"], WRONG),
        ([f"v=spf1 -include:{OURS} -all"], WRONG),
        ([f"v=spf1 ?include:{OURS} -all"], WRONG),
        ([f"v=spf1 include:x{OURS} -all"], WRONG),
        ([f"v=spf1 redirect={OURS} -all"], WRONG),
        ([f"v=spf1 include:{OURS} +all"], WEAK),
        (["v=spf1 all"], WEAK),
        ([f"v=spf1 include:{OURS} -all", "v=spf1 -all"], SEVERAL),
    ],
)
def test_senders_record_lets_our_servers_through(texts: list[str], finding: Finding) -> None:
    assert published.senders(texts, OURS).finding is finding


def test_dmarc_is_looked_for_up_the_tree() -> None:
    assert published.dmarc_names("kunde.example") == ["_dmarc.kunde.example", "_dmarc.example"]
    many = published.dmarc_names("a.b.c.d.e.f.g.h.i.j.kunde.example")
    assert len(many) == 8
    assert many[1] == "_dmarc.f.g.h.i.j.kunde.example"
    assert many[-1] == "_dmarc.example"
    assert len(published.dmarc_names("a.b.c.d.e.f.kunde.example")) == 8


NONE, REJECT = "v=DMARC1; p=none", "v=DMARC1; p=reject; rua=mailto:d@kunde.example"
REGISTRY, OFFICE = "v=DMARC1; p=none; psd=y", "v=DMARC1; p=quarantine; psd=n"


@pytest.mark.parametrize(
    ("answers", "finding", "text"),
    [
        ([[]], MISSING, ""),
        ([[NONE]], FOUND, NONE),
        ([["x", "v = DMARC1 ;p=none"]], FOUND, "v = DMARC1 ;p=none"),
        ([["v=DMARC1"]], WRONG, "v=DMARC1"),
        ([["v=DMARC1; p=perhaps"]], WRONG, "v=DMARC1; p=perhaps"),
        ([["v=DMARC12; p=none", "p=none; v=DMARC1"]], MISSING, ""),
        ([[NONE, REJECT]], SEVERAL, NONE),
        ([[], [REJECT]], FOUND, REJECT),
        ([[NONE], [REJECT]], FOUND, NONE),
        ([[], [NONE], [REJECT]], FOUND, REJECT),
        ([[], [NONE, REJECT], []], MISSING, ""),
        ([[], ["v=DMARC1; p=perhaps"], [REJECT]], FOUND, REJECT),
        ([[], [OFFICE], [REJECT]], FOUND, OFFICE),
        ([[], [NONE], [REJECT], [REGISTRY]], FOUND, REJECT),
        ([[], [NONE], [], [REGISTRY]], FOUND, REGISTRY),
    ],
)
def test_dmarc_policy_is_the_domains_own_or_its_organisations(
    answers: list[list[str]], finding: Finding, text: str
) -> None:
    seen = published.dmarc(answers)
    assert (seen.finding, seen.text) == (finding, text)
