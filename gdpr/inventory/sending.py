# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of how customers send: domains, routes, keys, lists and figures."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.inventory.relay import AUDIENCES, ON_THE_WAY, correspondent
from gdpr.registry import (
    Access,
    Cadence,
    Corrector,
    Entry,
    Eraser,
    Forgetting,
    Held,
    Keep,
    Key,
    Law,
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
    held=Held(law=Law.CONTRACT, over="gdpr.holds:has_left"),
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
    paths=(correspondent("username__iexact", Eraser.ORGANISATION),),
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
        NotPersonal(("domain",), "one of the customer's domains, one that it writes to, or both"),
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

RESTRICTION = Entry(
    model="relay.Restriction",
    title=_("Addresses whose data a customer keeps and does not use"),
    role=Role.PROCESSOR,
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.ORGANISATION,
    keep=Keep(
        event=_(
            "a fingerprint until a year after the customer lifts the restriction; the address"
            " itself goes"
        ),
        period=days("relay.models.messages:LOG_DAYS"),
        clock="restricted_at",
        starts=_("after it was restricted"),
        # Emptied, not deleted: the fingerprint is what the restriction is obeyed by.
        forgetting=Forgetting.ELSEWHERE,
        oldest="relay.suppressing:oldest_restricted",
    ),
    paths=(
        SubjectPath(
            whose=Whose.CORRESPONDENT,
            key=Key.ADDRESS,
            lookup="address",
            # The fingerprint stays, as that of who gets no mail does.
            eraser=Eraser.BLANK,
            fields=("address", "spellings"),
            finder="relay.suppressing:restrictions_of",
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="address", what=_("the restricted address"), leads=True, customers_words=True
        ),
        Personal(
            name="spellings", what=_("the address as the log may have it"), customers_words=True
        ),
        Personal(
            name="address_hash",
            what=_("a keyed fingerprint of it, another one for each customer"),
            access=Access.NAMED,
        ),
        Personal(name="ground", what=_("why it is restricted")),
        Personal(name="origin", what=_("who restricted it")),
        Personal(name="restricted_at", what=_("since when")),
        Personal(name="told_on", what=_("when the person was told that it ends")),
        Personal(name="lifted_at", what=_("when it was lifted")),
        Personal(name="organisation", what=_("the customer that must not use it")),
        NotPersonal(("id",), "a random number"),
        NotPersonal(("address_until",), "when the address itself is forgotten"),
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
                *("returned_hard", "complained"),
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
    purposes=(Purpose.SERVICE,),
    basis=LegalBasis.INSTRUCTION,
    source=Source.USE,
    keep=Keep(
        event=_("until it is in the log"),
        period=hours("relay.espinbox:KEPT_HOURS"),
        clock="received_at",
        starts=_("after it was reported"),
        cadence=Cadence.HOURLY,
    ),
    paths=(
        SubjectPath(
            whose=Whose.CORRESPONDENT,
            key=Key.ADDRESS,
            lookup="id",
            eraser=Eraser.EXPIRY,
            finder="relay.espinbox:rows_about",
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="sealed",
            what=_("recipient's address and what became of the mail, encrypted"),
            access=Access.NAMED,
        ),
        Personal(name="received_at", what=_("when it was reported")),
        NotPersonal(("id", "organisation", "route"), "of which customer's route"),
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
    SENDING_DOMAIN,
    ROUTE,
    CREDENTIAL,
    HOLD,
    QUOTA,
    SUPPRESSION,
    RESTRICTION,
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
