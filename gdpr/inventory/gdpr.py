# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of duties: what was forgotten when, who gets data, requests."""

from __future__ import annotations

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
)

AUDIENCES = (Audience.HOSTING, Audience.BACKUP, Audience.SUPPORT)
WITH_REQUEST = Keep(event=_("as long as the request that it belongs to"))

REQUEST = Entry(
    model="gdpr.Request",
    title=_("Requests about personal data"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SUBJECT,
    keep=Keep(
        period=days("gdpr.models.requests:REQUEST_KEPT_DAYS"),
        clock="closed_at",
        starts=_("after the answer"),
    ),
    # The evidence stays; with the account goes what says whose it is.
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="person", eraser=Eraser.UNLINK),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="id", what=_("a random number of the request")),
        Personal(name="person", what=_("the person who asked")),
        Personal(name="channel", what=_("how the request came in")),
        Personal(name="language", what=_("language of the answer")),
        Personal(name="received_at", what=_("when it was received")),
        Personal(name="proven_at", what=_("when it was proven who asks")),
        Personal(name="closed_at", what=_("when it was answered")),
    ),
)

REQUESTED_RIGHT = Entry(
    model="gdpr.RequestedRight",
    title=_("Requests about personal data: what was asked for"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SUBJECT,
    keep=WITH_REQUEST,
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="request__person",
            eraser=Eraser.BLANK,
            fields=("details", "resolution"),
        ),
    ),
    # The answer that is looked at again is one of the same person.
    not_leading=("second_look_of",),
    audiences=AUDIENCES,
    fields=(
        Personal(name="id", what=_("a random number of the row")),
        Personal(name="request", what=_("the request that it belongs to")),
        Personal(name="right", what=_("the right that was asked for")),
        Personal(name="state", what=_("how far it has come")),
        Personal(name="details", what=_("what the person wrote about it"), portable=True),
        Personal(name="promised_on", what=_("when an answer is promised")),
        Personal(name="due_on", what=_("the limit of the law")),
        Personal(name="extended_at", what=_("when the time was extended")),
        Personal(name="resolution", what=_("what the answer was")),
        Personal(name="closed_at", what=_("when it was answered")),
        Personal(name="second_look_of", what=_("the answer that is looked at again")),
        NotPersonal(("begun_at", "escalated"), "whether the service has begun, staff were told"),
    ),
)

STEP = Entry(
    model="gdpr.Step",
    title=_("Requests about personal data: every step"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=WITH_REQUEST,
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="right__request__person",
            eraser=Eraser.BLANK,
            fields=("reason",),
        ),
        # Staff, by the steps that they have taken.
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="user",
            eraser=Eraser.UNLINK,
            fields=("kind", "by", "actor_id", "at"),
            through=Through(model="accounts.AuditActor", on=(("actor_id", "id"),)),
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="right", what=_("the right that it belongs to")),
        Personal(name="kind", what=_("what was done")),
        Personal(name="by", what=_("whether the person, staff or the service did it")),
        Personal(
            name="actor_id",
            what=_("the random number, in the audit trail, of who did it"),
            leads=True,
        ),
        Personal(name="at", what=_("when")),
        Personal(name="reason", what=_("the reasons that were given")),
        NotPersonal(("id",), "numbers the row"),
    ),
)

CORRECTION = Entry(
    model="gdpr.Correction",
    title=_("Requests about personal data: what is to be corrected"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SUBJECT,
    keep=Keep(event=_("value and evidence until the answer, the rest as long as the request")),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="right__request__person",
            eraser=Eraser.BLANK,
            fields=("value", "evidence"),
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="right", what=_("the right that it belongs to")),
        Personal(name="field", what=_("what is wrong")),
        Personal(name="value", what=_("what it should be"), portable=True),
        Personal(name="evidence", what=_("how that can be seen"), portable=True),
    ),
)

PACKAGE = Entry(
    model="gdpr.Package",
    title=_("Packages of personal data to be fetched"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(
        period=days("gdpr.models.packages:PACKAGE_DAYS"),
        clock="made_at",
        starts=_("after the package was made"),
        cadence=Cadence.HOURLY,
        # File and row go together, by the task that knows the file.
        forgetting=Forgetting.ELSEWHERE,
    ),
    paths=(SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup="person", eraser=Eraser.ROW),),
    not_leading=("right",),
    audiences=(Audience.HOSTING,),
    fields=(
        Personal(name="id", what=_("a random number of the package")),
        Personal(name="person", what=_("the person whose data are in it")),
        Personal(name="right", what=_("the right that it answers")),
        Personal(name="sealed_key", what=_("the package's key, encrypted"), access=Access.NAMED),
        Personal(name="created_at", what=_("when it was asked for")),
        Personal(name="made_at", what=_("when it was made")),
        Personal(name="expires_at", what=_("when it is destroyed")),
        Personal(name="size", what=_("its size in octets")),
        Personal(name="sha256", what=_("its digest")),
        NotPersonal(
            ("state", "parts_done", "parts_total", "attempts", "leased_until"),
            "how the work on it goes",
        ),
    ),
)

RETENTION_RUN = Entry(
    model="gdpr.RetentionRun",
    title=_("What was forgotten when"),
    keep=Keep(
        period=days("gdpr.models.retention:RUN_KEPT_DAYS"),
        clock="finished_at",
        starts=_("after the run"),
    ),
    fields=(
        NotPersonal(("id", "what", "started_at", "finished_at", "rows"), "counts of tables' rows"),
    ),
)

RETENTION_GAUGE = Entry(
    model="gdpr.RetentionGauge",
    title=_("How old the oldest row of each table is"),
    fields=(
        NotPersonal(
            ("what", "measured_at", "oldest_at", "over_seconds", "due"), "figures of whole tables"
        ),
    ),
)

RECIPIENT = Entry(
    model="gdpr.Recipient",
    title=_("Register of recipients and sub-processors"),
    fields=(
        NotPersonal(
            ("id", "name", "address", "country", "company_number", "engaged_by"), "companies"
        ),
        NotPersonal(("contact",), "a desk of the company, not a person, as the form asks"),
        NotPersonal(("services", "transfer"), "what the company is taken on for"),
        NotPersonal(("starts_on", "ends_on", "contract_on", "reviewed_on"), "dates of contracts"),
    ),
)

ERASURE = Entry(
    model="gdpr.Erasure",
    title=_("Erasures: how far each has come, and its certificate"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(
        period=days("gdpr.models.requests:REQUEST_KEPT_DAYS"),
        clock="completed_at",
        starts=_("after the end of the erasure, and of what it had to leave"),
    ),
    # The certificate names nobody; with the account goes what says whose it is.
    paths=(
        SubjectPath(
            whose=Whose.PERSON, key=Key.ID, lookup="right__request__person", eraser=Eraser.UNLINK
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="id", what=_("a random number of the erasure")),
        Personal(name="right", what=_("the request that it belongs to")),
        Personal(name="language", what=_("language of the certificate")),
        Personal(name="state", what=_("how far it has come")),
        Personal(name="asked_at", what=_("when it was asked for")),
        Personal(name="due_at", what=_("when it is carried out")),
        Personal(name="started_at", what=_("when it was begun")),
        Personal(name="ended_at", what=_("when it ended")),
        Personal(name="completed_at", what=_("when nothing of it was kept any more")),
        NotPersonal(("fault", "is_repeat"), "what stands in the way; done again after a restore"),
        NotPersonal(("report",), "names of tables, counts, dates; while it runs, numbers of rows"),
        NotPersonal(("certificate", "certificate_digest"), "the same as a document, for nobody"),
        NotPersonal(("completion", "completion_digest"), "the second certificate, for nobody"),
        NotPersonal(("token_hash",), "a hash of the link in the last mail"),
    ),
)

ERASURE_SUBJECT = Entry(
    model="gdpr.ErasureSubject",
    title=_("Whom a running erasure is about"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(event=_("until the last step of the erasure")),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="erasure__right__request__person",
            eraser=Eraser.EXPIRY,
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="erasure", what=_("the erasure")),
        Personal(
            name="sealed",
            what=_("number, name, address and phone, encrypted, to search for leftovers"),
            access=Access.NAMED,
        ),
    ),
)

ERASURE_STEP = Entry(
    model="gdpr.ErasureStep",
    title=_("Steps of erasures"),
    fields=(
        NotPersonal(("id", "erasure", "position", "name", "done_at"), "names of tables and times"),
        NotPersonal(("removed", "changed"), "counts of rows"),
    ),
)

HELD_ROW = Entry(
    model="gdpr.HeldRow",
    title=_("Rows that an erasure had to leave, and until when"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(event=_("as long as the erasure that it belongs to")),
    # What says whose it is, besides the row that is kept, goes with the account.
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="erasure__right__request__person",
            eraser=Eraser.HOLD,
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(name="erasure", what=_("the erasure")),
        Personal(name="model", what=_("the table")),
        Personal(name="key", what=_("the number of the row that is kept")),
        Personal(name="law", what=_("the law by which it is kept")),
        Personal(name="until_on", what=_("the last day on which it is kept")),
        Personal(name="done_at", what=_("when it was erased")),
        NotPersonal(("id",), "numbers the row"),
    ),
)

LEDGER_ENTRY = Entry(
    model="gdpr.LedgerEntry",
    title=_("That somebody was erased, so that a restored backup does not bring them back"),
    role=Role.CONTROLLER,
    purposes=(Purpose.RIGHTS,),
    basis=LegalBasis.DUTY,
    source=Source.SERVICE,
    keep=Keep(event=_("until no backup has the person any more, and a month")),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="erasure_id",
            eraser=Eraser.HOLD,
            finder="gdpr.ledger:entries_about",
        ),
    ),
    audiences=(Audience.HOSTING,),
    fields=(
        Personal(
            name="person_digest",
            what=_("a keyed hash of the account's number"),
            access=Access.NAMED,
        ),
        # Of mail that customers decide on; whom a customer erased is nobody's to look up.
        NotPersonal(("of_organisation",), "the number of a customer that erased an address"),
        NotPersonal(("address_digest",), "a keyed hash of the address, another for each customer"),
        Personal(name="entered_at", what=_("when the erasure began")),
        Personal(name="until_on", what=_("until when it is kept")),
        NotPersonal(("erasure_id",), "a random number of the erasure"),
    ),
)

ENTRIES: tuple[Entry, ...] = (
    REQUEST,
    REQUESTED_RIGHT,
    STEP,
    ERASURE,
    ERASURE_SUBJECT,
    ERASURE_STEP,
    HELD_ROW,
    LEDGER_ENTRY,
    CORRECTION,
    PACKAGE,
    RETENTION_RUN,
    RETENTION_GAUGE,
    RECIPIENT,
)
