# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that machines and people send back and that reports no failure, in the forms it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Letter:
    """One mail; `has_sender`: it came with a reverse-path."""

    name: str
    content: bytes
    has_sender: bool = False


AUTHOR = "From: Erik <erik@modtager.example>"


def letter(name: str, *fields: str, body: str, has_sender: bool = False) -> Letter:
    author = () if fields[:1] and fields[0].startswith("From:") else (AUTHOR,)
    head = (*author, "To: b1@bounce.kunde.example", *fields)
    return Letter(name, "\r\n".join((*head, "", body, "")).encode(), has_sender)


def multipart(name: str, kind: str, *parts: str, has_sender: bool = False) -> Letter:
    body = "".join(f"--grense\r\n{part}\r\n" for part in parts) + "--grense--"
    content_type = f'Content-Type: {kind}; boundary="grense"'
    return letter(name, "MIME-Version: 1.0", content_type, body=body, has_sender=has_sender)


def report(*groups: str, words: str = "Undelivered.", action: str = "failed") -> bytes:
    """A report as RFC 3464 has it, with one group of fields for each recipient."""
    fields = "\r\n\r\n".join(("Reporting-MTA: dns; mx.modtager.example", *groups))
    return multipart(
        action,
        "multipart/report; report-type=delivery-status",
        f"Content-Type: text/plain\r\n\r\n{words}",
        f"Content-Type: message/delivery-status\r\n\r\n{fields}\r\n",
        "Content-Type: text/rfc822-headers\r\n\r\nSubject: Faktura\r\n",
    ).content


def group(
    address: str = "erik@modtager.example",
    status: str = "5.1.1",
    said: str = "smtp; 550 5.1.1 no such user",
    action: str = "failed",
) -> str:
    return "\r\n".join(
        (
            f"Final-Recipient: rfc822; {address}",
            f"Action: {action}",
            f"Status: {status}",
            f"Diagnostic-Code: {said}",
        )
    )


_MDN = "multipart/report; report-type=disposition-notification"
_ARF = "multipart/report; report-type=feedback-report"
_READ = (
    "Content-Type: message/disposition-notification\r\n\r\n"
    "Final-Recipient: rfc822; erik@modtager.example\r\n"
    "Disposition: manual-action/MDN-sent-manually; {}\r\n"
)
_QUOTED = (
    "> This message was created automatically by mail delivery software.\r\n"
    "> 550 5.1.1 <bo@modtager.example>: user unknown\r\n"
)

# More than thirty: none may ever cost a recipient anything.
AUTOMATIC = (
    letter("holiday", "Auto-Submitted: auto-replied", "Subject: Ferie", body="Jeg er på ferie."),
    letter(
        "holiday with a comment",
        "Auto-Submitted: auto-replied (vacation)",
        "Subject: Out of office",
        body="I am away until Monday. 550 mails are waiting for me.",
    ),
    letter(
        "holiday with a parameter",
        'Auto-Submitted: auto-replied; owner-email="erik@modtager.example"',
        "Subject: Away",
        body="Away.",
    ),
    letter(
        "holiday of a large provider",
        "Precedence: bulk",
        "X-Autoreply: yes",
        "Subject: Fraværende Re: Faktura",
        body="Tak for din mail.",
    ),
    letter(
        "holiday of an office server",
        "X-Auto-Response-Suppress: All",
        "Subject: Automatic reply: Faktura",
        body="I am out of the office with limited access to my mailbox.",
    ),
    letter("old holiday", "Precedence: junk", "Subject: away from my mail", body="Gone fishing."),
    letter("older holiday", "X-Vacation: yes", "Subject: vacation", body="Back in May."),
    letter("holiday of a phone", "X-Autoresponder: yes", "Subject: Optaget", body="Jeg kører."),
    letter(
        "holiday without any mark",
        "Subject: Autosvar: Faktura",
        body="Jeg er ikke på kontoret.\r\nSkriv til bo@modtager.example i stedet.",
    ),
    letter(
        "somebody has left",
        "Auto-Submitted: auto-replied",
        "Subject: Erik no longer works here",
        body="The user erik@modtager.example is no longer with us. The account is closed.",
    ),
    letter(
        "somebody has left, without any mark",
        "Subject: Erik er stoppet",
        body="Erik er her ikke mere; skriv til post@modtager.example.",
        has_sender=True,
    ),
    letter(
        "mailbox nobody reads",
        "Auto-Submitted: auto-generated",
        "Subject: This mailbox is not monitored",
        body="Your message was not delivered to a person. Mailbox: noreply@modtager.example",
    ),
    letter(
        "ticket",
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "Subject: [#4521] Vi har modtaget din henvendelse",
        body="Sag 4521 er oprettet.",
    ),
    letter(
        "ticket without a null sender",
        "Subject: Re: [SAG-551] Faktura",
        body="Sagen er oprettet: SAG-551 5.1.1",
        has_sender=True,
    ),
    letter(
        "challenge",
        "Auto-Submitted: auto-replied",
        "Subject: Please confirm your message",
        body="Your mail is held. Click to deliver it to erik@modtager.example.",
    ),
    letter(
        "challenge without any mark",
        "Subject: Bekræft din mail",
        body="Din mail venter, til du svarer på denne.",
    ),
    letter(
        "challenge with a sender",
        "Subject: Message undelivered until you confirm",
        body="<erik@modtager.example> only takes mail from people who confirm.",
        has_sender=True,
    ),
    letter(
        "moderation",
        "Precedence: list",
        "Subject: Your message to klubben awaits moderator approval",
        body="Your mail is being held until the list moderator can review it.",
    ),
    letter(
        "refused by a list",
        "Precedence: bulk",
        "Subject: Message rejected",
        body="You are not allowed to post to this list: klubben@modtager.example",
    ),
    letter(
        "virus notice",
        "Auto-Submitted: auto-generated",
        "Subject: Virus found in your mail",
        body="The attachment was removed and the mail delivered to erik@modtager.example.",
    ),
    letter(
        "virus notice of a mail system",
        "From: Postmaster <postmaster@modtager.example>",
        "Auto-Submitted: auto-generated",
        "Subject: Virus found, message delivered without its attachment",
        body="The mail to erik@modtager.example was cleaned. Code 550 5.7.1 was not used.",
    ),
    letter(
        "holiday of a mail system",
        "From: MAILER-DAEMON@modtager.example",
        "Auto-Submitted: auto-replied",
        "Subject: Undelivered until May: I am away",
        body="550 5.1.1 mails wait for erik@modtager.example, who is on holiday.",
    ),
    letter("human answer", "Subject: Re: Faktura", body="Tak, den er betalt.", has_sender=True),
    letter(
        "human answer with a report in it",
        "Subject: Re: failure notice",
        body=f"Hvorfor fik jeg denne?\r\n{_QUOTED}",
        has_sender=True,
    ),
    letter(
        "human answer with a code in it",
        "Subject: Undelivered mail?",
        body="I called 550 5.1.1 times.",
        has_sender=True,
    ),
    letter(
        "forwarded report",
        "Subject: Fwd: Undelivered Mail Returned to Sender",
        body=_QUOTED,
        has_sender=True,
    ),
    multipart(
        "forwarded fields of a report",
        "multipart/mixed",
        "Content-Type: text/plain\r\n\r\nWhat is this?",
        f"Content-Type: message/delivery-status\r\n\r\n{group()}\r\n",
        has_sender=True,
    ),
    multipart(
        "read",
        _MDN,
        "Content-Type: text/plain\r\n\r\nYour message was displayed.",
        _READ.format("displayed"),
    ),
    multipart(
        "deleted unread",
        _MDN,
        "Content-Type: text/plain\r\n\r\nYour message was deleted without being read.",
        _READ.format("deleted"),
    ),
    multipart(
        "read receipt that failed",
        _MDN,
        "Content-Type: text/plain\r\n\r\nerik@modtager.example: user unknown",
        _READ.format("failed"),
    ),
    multipart(
        "read receipt without a report type",
        "multipart/mixed",
        "Content-Type: text/plain\r\n\r\nRead.",
        _READ.format("displayed"),
    ),
    multipart(
        "complaint",
        _ARF,
        "Content-Type: text/plain\r\n\r\nThis is an abuse report for a mail from you.",
        "Content-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\nUser-Agent: Loop/1\r\nVersion: 1\r\n",
        f"Content-Type: message/rfc822\r\n\r\nSubject: Undelivered mail\r\n\r\n{_QUOTED}",
    ),
    multipart(
        "complaint with fields of a report",
        _ARF,
        f"Content-Type: message/delivery-status\r\n\r\n{group()}\r\n",
        "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n",
    ),
)
