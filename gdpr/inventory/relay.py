# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of mail: who wrote to whom, and what waits. How customers send: sending.py."""

from __future__ import annotations

from dataclasses import replace

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Access,
    Audience,
    Cadence,
    Entry,
    Eraser,
    Forgetting,
    Keep,
    Key,
    LegalBasis,
    NotPersonal,
    Personal,
    Purpose,
    Role,
    Source,
    SubjectPath,
    Through,
    Whose,
    days,
    hours,
)

AUDIENCES = (Audience.HOSTING, Audience.BACKUP, Audience.SUPPORT, Audience.ORGANISATION)
ON_THE_WAY = (*AUDIENCES, Audience.MAIL_SERVERS)

# Days are dropped whole, in the hour before their first row reaches the period.
LOG = Keep(
    period=days("relay.models.messages:LOG_DAYS"),
    clock="accepted_at",
    starts=_("after the mail was accepted"),
    cadence=Cadence.HOURLY,
    forgetting=Forgetting.ACT,
    act="relay.upkeep:forget_days",
    due="relay.upkeep:count_due",
)
# Measured by the mails: what is logged of one goes with it, sooner where its sender chose so.
LOG_OF_MAILS = replace(LOG, oldest="relay.shorterperiods:oldest")
WHILE_WAITING = _("until the last recipient's mail server has taken or refused the mail")
LONGEST_WAIT = hours("accounts.models.organisations:QUEUE_HOURS_MAX")
SINCE_ACCEPTED = _("after the mail was accepted")

TO_MESSAGE = (("accepted_at", "accepted_at"), ("message_id", "id"))
TO_DELIVERY = (
    ("accepted_at", "accepted_at"),
    ("message_id", "message_id"),
    ("position", "position"),
)


def correspondent(lookup: str, eraser: Eraser, *fields: str) -> SubjectPath:
    return SubjectPath(
        whose=Whose.CORRESPONDENT, key=Key.ADDRESS, lookup=lookup, eraser=eraser, fields=fields
    )


def _through(
    model: str, lookup: str, on: tuple[tuple[str, str], ...], eraser: Eraser
) -> SubjectPath:
    return SubjectPath(
        whose=Whose.CORRESPONDENT,
        key=Key.ADDRESS,
        lookup=lookup,
        eraser=eraser,
        through=Through(model=model, on=on),
    )


MESSAGE = Entry(
    model="relay.Message",
    title=_("Log: mails accepted"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SENDER,
    keep=LOG_OF_MAILS,
    paths=(
        correspondent("sender", Eraser.BLANK, "sender", "subject"),
        _through(
            "relay.Delivery",
            "recipient",
            (("accepted_at", "accepted_at"), ("id", "message_id")),
            Eraser.UNLINK,
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="sender", what=_("sender's address"), leads=True, customers_words=True),
        Personal(
            name="subject",
            what=_("subject, where the customer has chosen to keep it"),
            customers_words=True,
        ),
        Personal(name="accepted_at", what=_("when the mail was accepted")),
        Personal(name="content_destroyed_at", what=_("when the content was destroyed")),
        Personal(name="organisation", what=_("the customer that sent it")),
        NotPersonal(("id", "credential_id"), "random numbers of the mail and the sign-in"),
        NotPersonal(("size", "recipients", "is_notification"), "figures about the mail"),
        NotPersonal(("is_sandbox",), "whether it was only tried out"),
        NotPersonal(("profile",), "how much of it is kept"),
        NotPersonal(("header_hash",), "a keyed fingerprint of the mail's own number"),
        NotPersonal(("tls_version", "tls_cipher"), "how the connection was encrypted"),
    ),
)

DELIVERY = Entry(
    model="relay.Delivery",
    title=_("Log: recipients of mails and what became of them"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SENDER,
    keep=LOG,
    paths=(
        correspondent("recipient", Eraser.BLANK, "recipient", "display_name"),
        _through("relay.Message", "sender", TO_MESSAGE, Eraser.UNLINK),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="recipient", what=_("recipient's address"), leads=True, customers_words=True),
        Personal(
            name="display_name",
            what=_("recipient's name as the mail has it, where the customer has chosen to keep it"),
            customers_words=True,
        ),
        Personal(name="accepted_at", what=_("when the mail was accepted")),
        Personal(name="state", what=_("whether it was delivered")),
        Personal(name="final_reason", what=_("why it ended")),
        Personal(name="finished_at", what=_("when it ended")),
        Personal(name="organisation", what=_("the customer that sent it")),
        NotPersonal(("message_id", "position"), "which mail, and which recipient of it"),
        NotPersonal(("possible_duplicate",), "whether it may have been delivered twice"),
        NotPersonal(("tells_failure",), "whether the sender is told of a failure"),
    ),
)

ATTEMPT = Entry(
    model="relay.Attempt",
    title=_("Log: tries to deliver"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.USE,
    keep=LOG,
    paths=(
        _through("relay.Delivery", "recipient", TO_DELIVERY, Eraser.UNLINK),
        _through("relay.Message", "sender", TO_MESSAGE, Eraser.UNLINK),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="started_at", what=_("when the try began")),
        Personal(name="finished_at", what=_("when the try ended")),
        Personal(name="verdict", what=_("how it went")),
        Personal(name="remote_host", what=_("name of the next mail server")),
        Personal(name="remote_address", what=_("network address of the next mail server")),
        Personal(
            name="reply",
            what=_("what that server answered, addresses masked"),
            # Of the customer's mail, in another's words.
            customers_words=True,
        ),
        NotPersonal(
            ("organisation", "message_id", "accepted_at", "position", "number"),
            "which mail, which recipient of it, and which try",
        ),
        NotPersonal(("code", "enhanced"), "numbers of the answer"),
        NotPersonal(("scope", "is_hard"), "what the answer is about"),
        NotPersonal(("kind",), "by which kind of route"),
        NotPersonal(
            ("tls_version", "tls_cipher", "tls_verified", "tls_demand", "tls_result"),
            "how it was encrypted",
        ),
    ),
)

REPORT = Entry(
    model="relay.Report",
    title=_("Log: what was told of a mail after it had left"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.USE,
    keep=LOG,
    paths=(
        _through("relay.Delivery", "recipient", TO_DELIVERY, Eraser.UNLINK),
        _through("relay.Message", "sender", TO_MESSAGE, Eraser.UNLINK),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="received_at", what=_("when it was told")),
        Personal(name="kind", what=_("what became of the mail")),
        Personal(
            name="reply",
            what=_("what the recipient's server answered, addresses masked"),
            customers_words=True,
        ),
        NotPersonal(
            ("organisation", "message_id", "accepted_at", "position", "number"),
            "which mail, which recipient of it, and which report",
        ),
        NotPersonal(("source",), "whether by a returned mail or by a provider"),
        NotPersonal(("code", "enhanced", "scope", "is_hard"), "numbers of the answer"),
    ),
)

ENDING = Entry(
    model="relay.Ending",
    title=_("Log: mails that were not delivered, so that they are found"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SENDER,
    keep=LOG,
    paths=(
        _through("relay.Delivery", "recipient", TO_DELIVERY, Eraser.UNLINK),
        _through("relay.Message", "sender", TO_MESSAGE, Eraser.UNLINK),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="state", what=_("what became of the mail")),
        NotPersonal(
            ("organisation", "message_id", "accepted_at", "position"),
            "which mail, and which recipient of it",
        ),
    ),
)

MESSAGE_HEADER = Entry(
    model="relay.MessageHeader",
    title=_("Log: headers of mails, where the customer has chosen to keep them"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SENDER,
    keep=LOG,
    paths=(
        _through(
            "relay.Delivery",
            "recipient",
            (("accepted_at", "accepted_at"), ("message_id", "message_id")),
            Eraser.ROW,
        ),
        _through("relay.Message", "sender", TO_MESSAGE, Eraser.ROW),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="header",
            what=_("the mail's header: sender, recipients that are shown, subject"),
            customers_words=True,
        ),
        NotPersonal(("organisation", "message_id", "accepted_at"), "which mail"),
    ),
)

CONTENT = Entry(
    model="relay.Content",
    title=_("Content of mails that wait, encrypted"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SENDER,
    keep=Keep(
        event=WHILE_WAITING,
        period=LONGEST_WAIT,
        clock="accepted_at",
        starts=SINCE_ACCEPTED,
        # Goes in the commit that ends the last delivery; what outlives it is measured here.
        forgetting=Forgetting.ELSEWHERE,
        oldest="relay.upkeep:oldest_content_of_final_message",
    ),
    paths=(
        correspondent("sender__iexact", Eraser.EXPIRY),
        _through(
            "relay.QueuedDelivery",
            "recipient__iexact",
            (("message_id", "message_id"),),
            Eraser.EXPIRY,
        ),
    ),
    audiences=ON_THE_WAY,
    fields=(
        Personal(name="sender", what=_("sender's address"), leads=True, customers_words=True),
        Personal(
            name="ciphertext",
            what=_("the mail with subject, names and content, encrypted"),
            access=Access.NAMED,
        ),
        Personal(
            name="envid", what=_("a mark of the sender's own for the mail"), customers_words=True
        ),
        Personal(name="accepted_at", what=_("when the mail was accepted")),
        NotPersonal(("message_id", "organisation"), "which mail of which customer"),
        NotPersonal(("hour_key_id", "wrapped_key"), "names of keys and a random key, encrypted"),
        NotPersonal(
            ("body", "smtputf8", "ret", "require_tls", "tls_optional", "open_deliveries"),
            "how the mail is to be sent",
        ),
        NotPersonal(("is_sandbox",), "whether it is only tried out"),
    ),
)

QUEUED_DELIVERY = Entry(
    model="relay.QueuedDelivery",
    title=_("Recipients of mails that wait"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.SENDER,
    keep=Keep(
        event=_("until the recipient's mail server has taken or refused the mail"),
        period=LONGEST_WAIT,
        clock="accepted_at",
        starts=SINCE_ACCEPTED,
        forgetting=Forgetting.COURSE,
    ),
    paths=(
        correspondent("recipient__iexact", Eraser.EXPIRY),
        _through("relay.Content", "sender__iexact", (("message_id", "message_id"),), Eraser.EXPIRY),
    ),
    audiences=ON_THE_WAY,
    fields=(
        Personal(name="recipient", what=_("recipient's address"), leads=True, customers_words=True),
        Personal(
            name="domain",
            what=_("the domain of the sender's or author's address"),
            customers_words=True,
        ),
        Personal(
            name="orcpt",
            what=_("recipient's first address, where the mail was forwarded"),
            customers_words=True,
        ),
        Personal(name="accepted_at", what=_("when the mail was accepted")),
        Personal(name="due_at", what=_("when it is tried next")),
        Personal(name="expires_at", what=_("when it is given up")),
        Personal(name="cancelled_at", what=_("when the customer cancelled it")),
        Personal(name="reason", what=_("why it waits")),
        NotPersonal(
            ("id", "organisation", "message_id", "position"), "which mail, which recipient"
        ),
        NotPersonal(
            ("notify", "lane", "attempts", "delayed_notice_at", "possible_duplicate"),
            "how the mail is to be sent",
        ),
        NotPersonal(
            ("lease_owner", "lease_expires_at", "fence", "dot_at", "begun_at", "strikes"),
            "which process works on it, and how often this failed",
        ),
    ),
)

ENTRIES = (
    MESSAGE,
    DELIVERY,
    ATTEMPT,
    REPORT,
    ENDING,
    MESSAGE_HEADER,
    CONTENT,
    QUEUED_DELIVERY,
)
