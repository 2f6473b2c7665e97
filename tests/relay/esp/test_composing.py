# SPDX-License-Identifier: AGPL-3.0-or-later
"""A mail in pieces: who receives it, what of its header travels on, and that no part is lost."""

from __future__ import annotations

from base64 import b64encode

import pytest

from relay.esp.composing import LARGEST, MOST_CONTAINERS, Parcel, Unfit, compose
from relay.esp.providers import PROVIDERS
from relay.smtp.envelope import Envelope, Recipient

POSTMARK = PROVIDERS["postmark"]
TOKEN = "b" + "a7" * 23 + "k"
ERIK, IDA, BO = "erik@modtager.example", "ida@modtager.example", "bo@skjult.example"


def envelope(*recipients: str, sender: str = "hej@kunde.example") -> Envelope:
    return Envelope(sender, tuple(map(Recipient, recipients)))


def mail(*lines: str, header: str = "") -> bytes:
    start = f"From: Hej <hej@kunde.example>\r\n{header}"
    return (start + "\r\n".join(lines)).encode()


def composed(content: bytes, *recipients: str, provider: str = "postmark", **more: str) -> Parcel:
    return compose(content, envelope(*(recipients or (ERIK,)), **more), PROVIDERS[provider])


PLAIN = mail("Subject: x", "", "hej", "")


def to(*values: str) -> bytes:
    return mail("Subject: x", "", "hej", "", header="".join(f"{one}\r\n" for one in values))


def test_those_who_are_named_and_in_the_envelope_see_each_other():
    parcel = composed(to(f"To: Erik <{ERIK}>", f"Cc: {IDA}"), BO, IDA, ERIK)
    assert parcel.places == (2, 1)
    assert parcel.message.to == [f"Erik <{ERIK}>"]
    assert parcel.message.cc == [IDA]


@pytest.mark.parametrize("field", ["To", "Cc"])
def test_nobody_receives_mail_because_a_header_names_them(field):
    parcel = composed(to(f"{field}: {IDA}, {ERIK}"), ERIK)
    assert parcel.message.recipients() == [ERIK]


def test_who_stands_nowhere_gets_a_call_of_their_own_and_is_shown_to_nobody():
    first = composed(to(f"To: {ERIK}"), ERIK, BO)
    assert first.message.recipients() == [ERIK]
    second = composed(to(f"To: {ERIK}"), BO)
    assert second.message.recipients() == [BO]
    assert ERIK not in str(second.message.extra_headers)


def test_one_after_the_other_where_the_header_names_a_list():
    parcel = composed(to("To: liste@kunde.example"), ERIK, IDA)
    assert parcel.places == (0,)
    assert parcel.message.to == [ERIK]


def test_a_copy_alone_becomes_the_recipient_because_providers_ask_for_one():
    parcel = composed(to(f"Cc: {IDA}"), IDA)
    assert parcel.message.to == [IDA]
    assert parcel.message.cc == []


def test_letter_case_and_idn_of_a_header_do_not_matter():
    parcel = composed(to("To: ERIK@Modtager.Example, <ida@smør.example>"), ERIK,
                      "ida@xn--smr-1na.example")  # fmt: skip
    assert parcel.places == (0, 1)
    assert parcel.message.to[0] == ERIK


def test_more_than_a_provider_takes_at_once_are_left_for_the_next_call():
    people = [f"p{number}@modtager.example" for number in range(60)]
    parcel = composed(to("To: " + ",\r\n ".join(people)), *people)
    assert len(parcel.places) == POSTMARK.most_visible


def test_the_header_travels_on_but_for_what_is_written_anew_or_orders_the_provider():
    content = to(
        "Message-ID: <1@kunde.example>",
        "X-Sag: 17,\r\n\tanden linje",
        "In-Reply-To: <0@kunde.example>",
        "DKIM-Signature: v=1; b=x",
        "Received: by x with SMTP",
        "X-PM-Tag: y",
        "X-Mailgun-Variables: {}",
        "ARC-Seal: i=1",
        "Content-Language: da",
    )
    assert composed(content).message.extra_headers == {
        "Message-ID": "<1@kunde.example>",
        "X-Sag": "17,\tanden linje",
        "In-Reply-To": "<0@kunde.example>",
    }


def test_fields_that_brevo_takes_for_orders_do_not_reach_it():
    content = mail("Sender.IP: 192.0.2.1", "idempotencyKey: 1", "X-Sag: 1", "", "hej", "")
    assert composed(content, provider="brevo").message.extra_headers == {"X-Sag": "1"}


def test_words_are_decoded_and_raw_utf8_is_kept():
    content = mail("Subject: =?utf-8?Q?Rykker_=C3=A6?=", "X-Navn: Søren", "", "hej", "")
    message = composed(content).message
    assert (message.subject, message.extra_headers) == ("Rykker æ", {"X-Navn": "Søren"})


def test_a_provider_that_spoils_letters_in_fields_is_not_given_them():
    content = mail("X-Navn: Søren", "X-Emne: =?utf-8?Q?=C3=A6?=", "X-Sag: 1", "", "hej", "")
    assert composed(content, provider="brevo").message.extra_headers == {"X-Sag": "1"}


@pytest.mark.behaviour(37)
@pytest.mark.parametrize("octet", ["=0A", "=0D", "=00", "=0D=0ABcc=3A_x=40y.example", "=E2=80=A8"])
@pytest.mark.parametrize("field", ["Subject", "From"])
def test_a_line_end_hidden_in_a_word_is_refused(octet, field):
    word = f"=?utf-8?Q?x{octet}?="
    author, subject = (word, "x") if field == "From" else ("Hej", word)
    header = f"From: {author} <hej@kunde.example>\r\nSubject: {subject}\r\n\r\n"
    with pytest.raises(Unfit) as refused:
        composed(header.encode())
    assert refused.value.enhanced == "5.6.0"


@pytest.mark.parametrize("author", ["", "Hej", "<>", "@"])
def test_nobody_else_ever_stands_as_the_author(author):
    with pytest.raises(Unfit):
        composed(f"From: {author}\r\nSubject: x\r\n\r\nhej\r\n".encode())


def test_a_name_with_a_comma_or_quotes_stays_one_name():
    content = to(f'To: "Hansen, Erik \\"E\\"" <{ERIK}>')
    assert composed(content).message.to == [f'"Hansen, Erik \\"E\\"" <{ERIK}>']


@pytest.mark.parametrize(
    ("sender", "metadata"),
    [(TOKEN, {"brevdue": TOKEN}), ("anna@kunde.example", {}), ("", {})],
)
def test_only_a_return_path_of_ours_is_told_to_the_provider(sender, metadata):
    assert composed(PLAIN, sender=sender).message.metadata == metadata


def test_opens_and_clicks_are_not_followed():
    message = composed(PLAIN).message
    assert (message.track_opens, message.track_clicks) == (False, False)


def part(kind: str, text: str, *lines: str) -> list[str]:
    return ["--gr?nse", f"Content-Type: {kind}", *lines, "", text]


def parted(*parts: list[str], kind: str = "mixed") -> bytes:
    lines = [line for one in parts for line in one]
    return mail(f'Content-Type: multipart/{kind}; boundary="gr?nse"', "", *lines, "--gr?nse--", "")


def files(parcel: Parcel) -> dict[str, bytes]:
    return {one.get_filename(): one.get_payload(decode=True) for one in parcel.message.attachments}


def test_text_and_html_stand_where_a_reader_looks():
    plain, html = part("text/plain; charset=iso-8859-1", "a"), part("text/html", "<b>a</b>")
    message = composed(parted(plain, html, kind="alternative")).message
    assert message.body == "a"
    assert [tuple(one) for one in message.alternatives] == [("<b>a</b>", "text/html")]


def test_no_part_is_lost_and_every_file_is_octet_for_octet():
    pdf, csv, calendar = bytes(range(256)), "ø;1\r\nå;2\r\n".encode("latin-1"), "BEGIN:VCALENDAR"
    encoded = "Content-Transfer-Encoding: base64"
    parcel = composed(
        parted(
            part("text/plain", "hej"),
            part("application/pdf; name=a.pdf", b64encode(pdf).decode(), encoded),
            part("text/csv; charset=iso-8859-1", b64encode(csv).decode(), encoded,
                 "Content-Disposition: attachment; filename=tal.csv"),
            part("text/calendar; method=REQUEST", calendar),
            part("text/plain", "endnu en tekst"),
            part("message/rfc822", "Subject: inden i\r\n\r\nbrev"),
        )
    )  # fmt: skip
    found = files(parcel)
    assert found.pop("a.pdf") == pdf
    assert found.pop("tal.csv") == csv
    assert list(found.values()) == [
        calendar.encode(),
        b"endnu en tekst",
        b"Subject: inden i\r\n\r\nbrev",
    ]
    assert parcel.message.body == "hej"


def test_a_picture_in_the_text_keeps_its_name():
    picture = part("image/png", b64encode(b"\x89PNG").decode(),
                   "Content-Transfer-Encoding: base64", "Content-ID: <logo@kunde>")  # fmt: skip
    parcel = composed(parted(part("text/html", '<img src="cid:logo@kunde">'), picture,
                             kind="related"))  # fmt: skip
    (attached,) = parcel.message.attachments
    assert (attached["Content-ID"], attached.get_content_disposition()) == (
        "<logo@kunde>",
        "inline",
    )


@pytest.mark.parametrize("charset", ["utf-8", "us-ascii", "no-such-charset", "utf-16"])
def test_a_wrong_charset_loses_no_letter(charset):
    content = mail(f"Content-Type: text/plain; charset={charset}", "", "rødgrød")
    assert composed(content).message.body == "rødgrød"


@pytest.mark.behaviour(37)
@pytest.mark.parametrize("name", ["quoted-printable", "base64"])
def test_no_end_of_line_but_one_and_no_nul_comes_out_of_an_encoding(name):
    hidden = {"quoted-printable": "a=0Db=00c=0D=0Ad", "base64": "YQ1iAGMNCmQ="}[name]
    lines = ("Content-Type: text/plain; charset=utf-8", f"Content-Transfer-Encoding: {name}")
    assert composed(mail(*lines, "", hidden)).message.body.rstrip() == "a\nb\ufffdc\nd"


def test_a_mail_that_is_nothing_but_a_file_has_a_text_that_providers_take():
    parcel = composed(parted(part("application/pdf; name=a.pdf", "x")))
    assert parcel.message.body.strip() == ""
    assert parcel.message.body


@pytest.mark.parametrize("kind", ["multipart/encrypted; boundary=x", "application/pkcs7-mime"])
def test_what_is_encrypted_is_refused(kind):
    with pytest.raises(Unfit):
        composed(mail(f"Content-Type: {kind}", "", "x", ""))


def nested(depth: int) -> bytes:
    lines = [
        line
        for level in range(depth)
        for line in (f"Content-Type: multipart/mixed; boundary=g{level}", "", f"--g{level}")
    ]
    return mail(*lines, "", "x", "")


def test_parts_inside_parts_end_at_a_bound():
    assert composed(nested(50)).message.body == "x"
    with pytest.raises(Unfit):
        composed(nested(MOST_CONTAINERS + 1))


def test_what_is_too_large_is_refused_before_it_is_parsed():
    with pytest.raises(Unfit) as refused:
        composed(b"From: x@kunde.example\r\n\r\n" + b"x" * LARGEST)
    assert refused.value.enhanced == "5.3.4"


@pytest.mark.parametrize(
    ("provider", "lines"),
    [
        ("brevo", ("Subject: x", "", "Kære {{ navn }}")),
        ("brevo", ("Subject: {% if x %}", "", "hej")),
        ("brevo", ("Subject: x", "X-Sag: {{ 7 }}", "", "hej")),
        ("sparkpost_eu", ("Subject: Tilbud {{ pris }}", "", "hej")),
    ],
)
def test_what_the_provider_would_fill_in_is_refused(provider, lines):
    with pytest.raises(Unfit) as refused:
        composed(mail(*lines), provider=provider)
    assert refused.value.enhanced == "5.6.3"
    assert composed(mail(*lines), provider="postmark")


def test_an_address_that_cannot_be_given_is_told_of_that_recipient_alone():
    with pytest.raises(Unfit) as refused:
        composed(PLAIN, "to..prikker@modtager.example", ERIK)
    assert (refused.value.place, refused.value.enhanced) == (0, "5.1.3")
