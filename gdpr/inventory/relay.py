# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of the relay: who wrote to whom, mail that waits, and how customers send."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.registry import (
    Access,
    Audience,
    Cadence,
    Corrector,
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
WHILE_WAITING = _("until the last recipient's mail server has taken or refused the mail")
LONGEST_WAIT = hours("accounts.models.organisations:QUEUE_HOURS_MAX")
SINCE_ACCEPTED = _("after the mail was accepted")

TO_MESSAGE = (("accepted_at", "accepted_at"), ("message_id", "id"))
TO_DELIVERY = (
    ("accepted_at", "accepted_at"),
    ("message_id", "message_id"),
    ("position", "position"),
)


def _correspondent(lookup: str, eraser: Eraser, *fields: str) -> SubjectPath:
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
    keep=LOG,
    paths=(
        _correspondent("sender", Eraser.BLANK, "sender", "subject"),
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
        _correspondent("recipient", Eraser.BLANK, "recipient", "display_name"),
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
        _correspondent("sender__iexact", Eraser.EXPIRY),
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
        _correspondent("recipient__iexact", Eraser.EXPIRY),
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

SENDING_DOMAIN = Entry(
    model="relay.SendingDomain",
    title=_("Domains of a customer whose account a person owns"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.CONTRACT,
    source=Source.ORGANISATION,
    keep=Keep(
        event=_("until the domain is removed, or the customer's account is closed and erased")
    ),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="user",
            eraser=Eraser.ORGANISATION,
            through=Through(
                model="accounts.Membership",
                on=(("organisation_id", "organisation_id"),),
                where={"role": "owner"},
            ),
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="name", what=_("domain"), portable=True, corrected_by=Corrector.ORGANISATION),
        Personal(name="created_at", what=_("when it was added")),
        NotPersonal(("id", "organisation", "token"), "random numbers, and the customer"),
        NotPersonal(
            ("state", "reason", "checked_at", "verified_at", "checks"), "how its proof stands"
        ),
        NotPersonal(("return_path",), "the label of its return path"),
    ),
)

ROUTE = Entry(
    model="relay.Route",
    title=_("Sign-in at a customer's own mail server, where it names a person"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.ORGANISATION,
    keep=Keep(
        event=_("until the route is removed, or the customer's account is closed and erased")
    ),
    paths=(_correspondent("username__iexact", Eraser.ORGANISATION),),
    audiences=ON_THE_WAY,
    fields=(
        Personal(
            name="username",
            what=_("user name at the customer's mail server, often an address"),
            corrected_by=Corrector.ORGANISATION,
            leads=True,
            customers_words=True,
        ),
        Personal(
            name="sealed_secret", what=_("password of that user, encrypted"), access=Access.NAMED
        ),
        NotPersonal(("id", "organisation", "domain"), "the customer's route"),
        NotPersonal(("name",), "the customer's name for it", customers_words=True),
        NotPersonal(
            ("priority", "concurrency", "rate_per_minute", "version"), "how the route is used"
        ),
        NotPersonal(("kind", "takes_over"), "which way mail goes, and when"),
        NotPersonal(("host", "port", "security"), "where the customer's mail server is"),
        NotPersonal(("provider", "provider_domain"), "the customer's mail provider"),
        NotPersonal(("hook_hash", "hook_made_at", "hook_seen_at"), "where the provider reports to"),
        NotPersonal(
            ("paused_at", "pause_told_at", "pause_reason", "created_at", "failures", "rest_until"),
            "how the route stands",
        ),
        NotPersonal(
            ("worked_at", "failed_at", "failed_code", "failed_enhanced", "failed_stage"),
            "how it went last, in figures",
        ),
    ),
)

CREDENTIAL = Entry(
    model="relay.Credential",
    title=_("Sign-ins of customers' programs"),
    # Should a customer write somebody into a name, that is the customer's to decide on.
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("id", "organisation", "username", "secret_hash"), "made by the service"),
        NotPersonal(
            ("name",),
            "the customer's name for a program; the form asks for one",
            customers_words=True,
        ),
        NotPersonal(("rate_per_minute", "daily_cap", "recipients_a_day"), "limits"),
        # The address of a client is somebody's wherever the service itself observes it. These are
        # named by the customer, of its own programs; where one tells of a person, such as the
        # owner of a firm of one, that is the customer's to decide on, and it goes with the account.
        NotPersonal(
            ("networks", "by_network"), "networks of the customer's programs; it names them"
        ),
        NotPersonal(("domains",), "the customer's domains that it may send from"),
        NotPersonal(("blocked_at", "block_reason"), "whether it may send at all"),
        NotPersonal(("mode",), "whether its mail is delivered or only tried out"),
        NotPersonal(("created_at", "last_used_at", "revoked_at"), "a program's doings"),
    ),
)

HOLD = Entry(
    model="relay.Hold",
    title=_("Mail a customer keeps back, and pauses of the service's own"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("id", "organisation", "message_id"), "which mail of which customer"),
        # Never an address. It is an order about mail to come, not a record of mail that was, so it
        # lasts until the customer lifts it or its account is erased, whatever the log's period is.
        NotPersonal(("domain",), "one of the customer's domains, or one that it writes to"),
        NotPersonal(("reason", "held_at", "ends_at"), "why, and for how long"),
    ),
)

QUOTA = Entry(
    model="relay.Quota",
    title=_("How much a customer may send"),
    role=Role.PROCESSOR,
    fields=(NotPersonal(("organisation", "messages_an_hour", "messages_a_day"), "two figures"),),
)

SUPPRESSION = Entry(
    model="relay.Suppression",
    title=_("Addresses that get no mail from a customer"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.USE,
    keep=Keep(
        event=_(
            "a fingerprint until it expires or the customer removes it; the address itself goes"
        ),
        period=days("relay.models.messages:LOG_DAYS"),
        clock="created_at",
        starts=_("after it was last told of"),
        # Emptied, not deleted: the fingerprint is what the wish is obeyed by.
        forgetting=Forgetting.ELSEWHERE,
        oldest="relay.suppressing:oldest_address",
    ),
    paths=(
        SubjectPath(
            whose=Whose.CORRESPONDENT,
            key=Key.ADDRESS,
            lookup="address",
            # The fingerprint stays: without it nobody would know whom not to write to.
            eraser=Eraser.BLANK,
            fields=("address",),
            finder="relay.suppressing:rows_of",
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="address",
            what=_("the address that gets no mail"),
            leads=True,
            customers_words=True,
        ),
        Personal(
            name="address_hash",
            what=_("a keyed fingerprint of it, another one for each customer"),
            access=Access.NAMED,
        ),
        Personal(name="reason", what=_("why it gets none")),
        Personal(name="created_at", what=_("since when")),
        Personal(name="expires_at", what=_("until when")),
        Personal(name="organisation", what=_("the customer that it gets none from")),
        NotPersonal(("id", "hits"), "a random number, and how often mail came back"),
        NotPersonal(("address_until",), "when the address itself is forgotten"),
        NotPersonal(("domain",), "one of the customer's domains"),
    ),
)

COUNT = Entry(
    model="relay.Count",
    title=_("How much mail a customer sends, in figures"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("organisation", "domain"), "the customer, and one of its domains"),
        NotPersonal(("span", "starts_at", "part"), "when"),
        NotPersonal(
            (
                *("messages", "octets", "accepted", "delivered", "deferred", "bounced_hard"),
                *("bounced_soft", "blocked", "expired", "cancelled", "sandboxed", "returned"),
                "complained",
            ),
            "figures, no address",
        ),
    ),
)

REVIEW = Entry(
    model="relay.Review",
    title=_("Domains whose mail was stopped because much of it came back"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("id", "organisation", "domain"), "the customer, and one of its domains"),
        NotPersonal(("done", "hard"), "figures"),
        NotPersonal(("opened_at", "asked_at", "decided_at", "decision"), "what was decided, when"),
    ),
)

LOG_CHOICE = Entry(
    model="relay.LogChoice",
    title=_("How much of its mail a customer has logged"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("organisation",), "the customer"),
        NotPersonal(("profile", "days", "changed_at"), "what it chose, and when"),
    ),
)

DOMAIN_RECORD = Entry(
    model="relay.DomainRecord",
    title=_("What DNS says about customers' domains"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("id", "organisation", "domain", "kind", "key"), "which record"),
        NotPersonal(("seen",), "what is published to everybody, addresses masked"),
        NotPersonal(("state", "checked_at", "found_at"), "how it stands"),
    ),
)

DKIM_KEY = Entry(
    model="relay.DkimKey",
    title=_("Keys that sign for customers' domains, the public half"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("id", "organisation", "domain", "selector", "algorithm"), "which key"),
        NotPersonal(("public",), "published to everybody"),
        NotPersonal(("created_at", "seen_at", "signs_since", "retired_at"), "how it stands"),
    ),
)

DKIM_SECRET = Entry(
    model="relay.DkimSecret",
    title=_("Keys that sign for customers' domains, the secret half, encrypted"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("key", "organisation"), "which key"),
        NotPersonal(("sealed",), "a key of the customer's domain, encrypted"),
    ),
)

ESP_EVENT = Entry(
    model="relay.EspEvent",
    title=_("What mail providers reported, until it is in the log"),
    role=Role.PROCESSOR,
    fields=(
        NotPersonal(("id", "organisation", "route", "received_at"), "of which route, and when"),
        NotPersonal(("sealed",), "numbers of mails and of their recipients, no address; encrypted"),
    ),
)

DESTINATION = Entry(
    model="relay.Destination",
    title=_("Domains that mail is delivered to, whichever customer's"),
    fields=(
        NotPersonal(("name",), "a domain, never an address, and no customer beside it"),
        NotPersonal(("failures", "rest_until", "used_on"), "how its servers answer"),
        NotPersonal(
            ("sts_id", "sts_mode", "sts_mx", "sts_fetched_at", "sts_expires_at", "sts_checked_at"),
            "what the domain publishes to everybody",
        ),
    ),
)

HOUR_KEY = Entry(
    model="relay.HourKey",
    title=_("Names of hour keys"),
    fields=(NotPersonal(("id", "closed_at"), "an hour and a random number; never the key"),),
)

LOG_PERIOD = Entry(
    model="relay.LogPeriod",
    title=_("The log's period, for the database"),
    fields=(NotPersonal(("id", "days"), "one figure"),),
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
    SENDING_DOMAIN,
    ROUTE,
    CREDENTIAL,
    HOLD,
    QUOTA,
    SUPPRESSION,
    COUNT,
    REVIEW,
    LOG_CHOICE,
    DOMAIN_RECORD,
    DKIM_KEY,
    DKIM_SECRET,
    ESP_EVENT,
    DESTINATION,
    HOUR_KEY,
    LOG_PERIOD,
)
