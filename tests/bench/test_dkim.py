# SPDX-License-Identifier: AGPL-3.0-or-later
"""A far end that looks for signatures sees what is missing, and what is wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from relay.smtp.dkim import signed
from tests.bench import dkim
from tests.bench.load import compose
from tests.relay.smtp.signatures import RSA, key, record_of
from tests.rig.service import DOMAIN


def arrived(*, change: bytes = b"", is_signed: bool = True, count: int = 2000) -> dkim.SigningSink:
    async def fill() -> dkim.SigningSink:
        sink = dkim.SigningSink()
        sink.expect(count)
        content = compose("one@bench.example", 4096).removesuffix(b".\r\n")
        message = await signed(content, [key(RSA, DOMAIN)], datetime.now(UTC))
        message = (message if is_signed else content).replace(b"Faktura", change or b"Faktura")
        for _ in range(count):
            sink.take(message.removesuffix(b"\r\n"))
        return sink

    return asyncio.run(fill())


def records() -> dkim.Records:
    name, value = record_of(key(RSA, DOMAIN))
    return {f"{name}.".encode(): value.encode()}


def test_signed_mail_is_compared() -> None:
    assert dkim.missing("our", arrived(), records()) == []


def test_what_is_not_signed_or_not_rightly_voids_the_comparison() -> None:
    assert "2000 of our messages bear no signature" in dkim.missing(
        "our", arrived(is_signed=False), records()
    )
    changed = arrived(change=b"Rykker")
    assert dkim.missing("our", changed, records()) == ["20 of our samples do not verify"]
    assert dkim.missing("our", arrived(), {}) == ["20 of our samples do not verify"]
    few = arrived(count=dkim.SAMPLES - 1)
    assert dkim.missing("our", few, records()) == ["our mail was not sampled"]


def test_late_mail_is_sampled_as_well() -> None:
    sink = arrived(count=200)
    for number in range(2000):
        sink.take(compose(f"late.{number}@bench.example", 200).removesuffix(b"\r\n.\r\n"))
    late = [sample for sample in sink.samples if b"late." in sample]
    assert dkim.SAMPLES // 2 < len(late) <= dkim.SAMPLES
