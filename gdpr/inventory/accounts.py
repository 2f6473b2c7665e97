# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of accounts: people, organisations, sign-in, the audit trail."""

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

WITH_ACCOUNT = Keep(event=_("until the account is erased"))
WITH_ORGANISATION = Keep(event=_("until the customer's account is closed and erased"))
AUDIENCES = (Audience.HOSTING, Audience.BACKUP, Audience.SUPPORT)
SAFE_ACCOUNTS = _(
    "Accounts send mail in the customer's name: whoever gets into one can do harm to the person,"
    " the customer and the recipients. Only what is needed to notice and stop that is kept."
)


def _own_row(lookup: str) -> SubjectPath:
    """The row is the person's: it goes with them."""
    return SubjectPath(whose=Whose.PERSON, key=Key.ID, lookup=lookup, eraser=Eraser.ROW)


BY_OWNER = Through(
    model="accounts.Membership", on=(("id", "organisation_id"),), where={"role": "owner"}
)


def _mention(name: str) -> SubjectPath:
    """The row is about something else and names the person in one field."""
    return SubjectPath(
        whose=Whose.PERSON, key=Key.ID, lookup=name, eraser=Eraser.BLANK, fields=(name,)
    )


def _event(here: str, model: str, lookup: str, *, to: str = "") -> SubjectPath:
    """An audit event with the number of a row of the person in a field; `to` a kind of target."""
    return SubjectPath(
        whose=Whose.PERSON,
        key=Key.ADDRESS if lookup == "email" else Key.ID,
        lookup=lookup,
        eraser=Eraser.UNLINK,
        through=Through(
            model=model, on=((here, "id"),), here={"target_type": to} if to else {}, listed=True
        ),
    )


USER = Entry(
    model="accounts.User",
    title=_("Account of a person"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT, Purpose.SECURITY),
    basis=LegalBasis.CONTRACT,
    source=Source.SUBJECT,
    keep=WITH_ACCOUNT,
    paths=(_own_row("id"),),
    audiences=(*AUDIENCES, Audience.ORGANISATION, Audience.MAIL),
    fields=(
        Personal(name="id", what=_("a random number for the account")),
        Personal(
            name="email",
            what=_("e-mail address, also the name to sign in with"),
            portable=True,
            corrected_by=Corrector.STAFF,
        ),
        Personal(name="title", what=_("title"), portable=True, corrected_by=Corrector.SUBJECT),
        Personal(
            name="first_name", what=_("first name"), portable=True, corrected_by=Corrector.SUBJECT
        ),
        Personal(
            name="last_name", what=_("last name"), portable=True, corrected_by=Corrector.SUBJECT
        ),
        Personal(
            name="phone", what=_("phone number"), portable=True, corrected_by=Corrector.SUBJECT
        ),
        Personal(
            name="language",
            what=_("language of pages and mails"),
            portable=True,
            corrected_by=Corrector.SUBJECT,
        ),
        Personal(
            name="time_zone", what=_("time zone"), portable=True, corrected_by=Corrector.SUBJECT
        ),
        Personal(name="password", what=_("a hash of the password"), access=Access.NAMED),
        Personal(name="last_login", what=_("last sign-in"), portable=True),
        Personal(name="confirmed_at", what=_("when the e-mail address was confirmed")),
        Personal(name="created_at", what=_("when the account was made"), portable=True),
        Personal(name="restricted_at", what=_("when the use of the account was restricted")),
        Personal(name="is_active", what=_("whether the account may sign in")),
        Personal(name="must_change_password", what=_("whether a new password must be chosen")),
        Personal(name="is_staff", what=_("whether the person works for the service")),
        Personal(name="is_superuser", what=_("whether the person may do everything as staff")),
        NotPersonal(("groups", "user_permissions"), "kept in the two link tables listed below"),
    ),
)

USER_GROUPS = Entry(
    model="accounts.User_groups",
    title=_("Staff roles of a person"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.CONTRACT,
    source=Source.SERVICE,
    keep=WITH_ACCOUNT,
    paths=(_own_row("user"),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="user", what=_("the member of staff")),
        Personal(name="group", what=_("the role")),
        NotPersonal(("id",), "numbers the row"),
    ),
)

USER_PERMISSIONS = Entry(
    model="accounts.User_user_permissions",
    title=_("Staff permissions of a person"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.CONTRACT,
    source=Source.SERVICE,
    keep=WITH_ACCOUNT,
    paths=(_own_row("user"),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="user", what=_("the member of staff")),
        Personal(name="permission", what=_("the permission")),
        NotPersonal(("id",), "numbers the row"),
    ),
)

SESSION = Entry(
    model="accounts.Session",
    title=_("Signed-in browsers"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT, Purpose.SECURITY),
    basis=LegalBasis.CONTRACT,
    source=Source.USE,
    keep=Keep(
        period=hours("accounts.expiry:SESSION_KEPT_HOURS"),
        clock="expire_date",
        starts=_("after the session has ended"),
        cadence=Cadence.HOURLY,
    ),
    paths=(_own_row("user_id"),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="user_id", what=_("the account that is signed in"), leads=True),
        Personal(
            name="session_key",
            what=_("a hash of the number in the browser's cookie"),
            access=Access.NAMED,
        ),
        Personal(
            name="session_data",
            what=_(
                "which organisation was chosen and which checks were passed, in one piece with"
                " a hash made from the password"
            ),
            access=Access.NAMED,
        ),
        Personal(name="expire_date", what=_("when the session ends")),
    ),
)

TOTP_DEVICE = Entry(
    model="accounts.TOTPDevice",
    title=_("Second factor: authenticator app"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.CONTRACT,
    source=Source.SERVICE,
    keep=WITH_ACCOUNT,
    paths=(_own_row("user"),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="user", what=_("the account it belongs to")),
        Personal(name="sealed_key", what=_("the app's key, encrypted"), access=Access.NAMED),
        Personal(name="last_step", what=_("the half minute of the newest code used")),
        Personal(name="created_at", what=_("when it was set up")),
        Personal(name="confirmed", what=_("whether it is in use")),
        NotPersonal(("id", "name"), "numbers and names the row, the same for everybody"),
    ),
)

BACKUP_CODE_DEVICE = Entry(
    model="accounts.BackupCodeDevice",
    title=_("Second factor: set of backup codes"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.CONTRACT,
    source=Source.SERVICE,
    keep=WITH_ACCOUNT,
    paths=(_own_row("user"),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="user", what=_("the account it belongs to")),
        Personal(name="created_at", what=_("when the codes were made")),
        Personal(name="confirmed", what=_("whether they are in use")),
        NotPersonal(("id", "name"), "numbers and names the row, the same for everybody"),
    ),
)

BACKUP_CODE = Entry(
    model="accounts.BackupCode",
    title=_("Second factor: backup codes"),
    not_leading=("device",),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.CONTRACT,
    source=Source.SERVICE,
    keep=WITH_ACCOUNT,
    paths=(_own_row("user"),),
    audiences=AUDIENCES,
    fields=(
        Personal(name="user", what=_("the account it belongs to")),
        Personal(name="code_hash", what=_("a hash of the code"), access=Access.NAMED),
        Personal(name="used_at", what=_("when it was used")),
        NotPersonal(("id", "device"), "numbers the row and names its set"),
    ),
)

MEMBERSHIP = Entry(
    model="accounts.Membership",
    title=_("Membership of an organisation"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT,),
    basis=LegalBasis.CONTRACT,
    source=Source.ORGANISATION,
    keep=Keep(event=_("until the person leaves the organisation or is erased")),
    paths=(_own_row("user"), _mention("approved_by")),
    audiences=(*AUDIENCES, Audience.ORGANISATION),
    fields=(
        Personal(name="user", what=_("the person")),
        Personal(name="organisation", what=_("the organisation"), portable=True),
        Personal(
            name="role",
            what=_("role in the organisation"),
            portable=True,
            corrected_by=Corrector.ORGANISATION,
        ),
        Personal(name="created_at", what=_("when the person joined"), portable=True),
        Personal(name="approved_at", what=_("when the person was let in")),
        Personal(name="approved_by", what=_("who let the person in")),
        NotPersonal(("id",), "a random number of the row"),
    ),
)


def _sent(*, taken_up: bool, eraser: Eraser) -> SubjectPath:
    """An invitation that the person sent."""
    return SubjectPath(
        whose=Whose.PERSON,
        key=Key.ID,
        lookup="invited_by",
        eraser=eraser,
        fields=("invited_by",),
        through=Through(
            model="accounts.Invitation",
            on=(("id", "id"),),
            where={"accepted_at__isnull": not taken_up},
        ),
    )


INVITATION = Entry(
    model="accounts.Invitation",
    title=_("Invitations to an organisation"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT,),
    basis=LegalBasis.INTEREST,
    interest=_(
        "The customer wants to let a colleague in. The person gets one mail, may ignore it, and the"
        " address is forgotten soon after the invitation has run out."
    ),
    source=Source.ORGANISATION,
    keep=Keep(
        period=days("accounts.expiry:INVITATION_KEPT_DAYS"),
        clock="expires_at",
        starts=_("after the invitation has run out"),
    ),
    paths=(
        SubjectPath(whose=Whose.PERSON, key=Key.ADDRESS, lookup="email", eraser=Eraser.ROW),
        # Nobody can take up what somebody sent who is gone, as with any other end of a membership.
        _sent(taken_up=False, eraser=Eraser.ROW),
        _sent(taken_up=True, eraser=Eraser.BLANK),
    ),
    audiences=(*AUDIENCES, Audience.ORGANISATION, Audience.MAIL),
    fields=(
        Personal(
            name="email",
            what=_("e-mail address that was invited"),
            corrected_by=Corrector.ORGANISATION,
        ),
        Personal(name="role", what=_("role that was offered")),
        Personal(name="organisation", what=_("the organisation that invites")),
        Personal(name="token_hash", what=_("a hash of the link in the mail"), access=Access.NAMED),
        Personal(name="invited_by", what=_("who invited")),
        Personal(name="created_at", what=_("when it was sent")),
        Personal(name="expires_at", what=_("when it runs out")),
        Personal(name="accepted_at", what=_("when it was taken up")),
        NotPersonal(("id",), "a random number of the row"),
    ),
)

ORGANISATION = Entry(
    model="accounts.Organisation",
    # A company is no person (recital 14), but a business run by one person carries their name.
    title=_("Customer whose account a person owns"),
    role=Role.CONTROLLER,
    purposes=(Purpose.ACCOUNT, Purpose.AGREEMENT),
    basis=LegalBasis.CONTRACT,
    source=Source.SUBJECT,
    keep=WITH_ORGANISATION,
    held=Held(
        law=Law.CONTRACT,
        over="gdpr.holds:has_left",
        empties=("name", "address", "postcode", "city", "vat_number"),
    ),
    paths=(
        SubjectPath(
            whose=Whose.PERSON,
            key=Key.ID,
            lookup="user",
            eraser=Eraser.ORGANISATION,
            through=BY_OWNER,
        ),
    ),
    audiences=AUDIENCES,
    fields=(
        Personal(
            name="name", what=_("company"), portable=True, corrected_by=Corrector.ORGANISATION
        ),
        Personal(
            name="address", what=_("address"), portable=True, corrected_by=Corrector.ORGANISATION
        ),
        Personal(
            name="postcode", what=_("postcode"), portable=True, corrected_by=Corrector.ORGANISATION
        ),
        Personal(name="city", what=_("city"), portable=True, corrected_by=Corrector.ORGANISATION),
        Personal(
            name="country", what=_("country"), portable=True, corrected_by=Corrector.ORGANISATION
        ),
        Personal(
            name="vat_number",
            what=_("CVR or VAT number"),
            portable=True,
            corrected_by=Corrector.ORGANISATION,
        ),
        Personal(name="standing", what=_("standing with the service")),
        Personal(name="created_at", what=_("when it became a customer"), portable=True),
        NotPersonal(("id",), "a random number of the row"),
        NotPersonal(
            (
                "sending_allowed",
                "sending_reason",
                "sending_changed_at",
                "second_factor_required",
                "queue_lifetime_hours",
            ),
            "how the service treats the customer's mail",
        ),
    ),
)

ORGANISATION_KEY = Entry(
    model="accounts.OrganisationKey",
    title=_("Keys of organisations"),
    fields=(NotPersonal(("organisation", "sealed", "created_at"), "a random key, encrypted"),),
)

AUDIT_ACTOR = Entry(
    model="accounts.AuditActor",
    title=_("Audit trail: who an acting number is"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.INTEREST,
    interest=SAFE_ACCOUNTS,
    source=Source.SERVICE,
    keep=WITH_ACCOUNT,
    paths=(_own_row("user"),),
    audiences=(*AUDIENCES, Audience.ORGANISATION),
    fields=(
        Personal(name="id", what=_("the person's random number in the audit trail")),
        Personal(name="user", what=_("the person")),
        Personal(name="organisation", what=_("the organisation whose trail it is")),
    ),
)

AUDIT_EVENT = Entry(
    model="accounts.AuditEvent",
    title=_("Audit trail: who did what, without contents"),
    role=Role.CONTROLLER,
    purposes=(Purpose.SECURITY,),
    basis=LegalBasis.INTEREST,
    interest=SAFE_ACCOUNTS,
    source=Source.USE,
    keep=Keep(
        period=days("accounts.audit.events:AUDIT_DAYS"),
        clock="at",
        starts=_("after the act"),
        forgetting=Forgetting.ACT,
        act="accounts.audit:expire",
        due="accounts.audit:count_expiring",
    ),
    paths=(
        # An act by the person; without the actor's row the number means nobody.
        _event("actor_id", "accounts.AuditActor", "user"),
        # What others, or the service, did to the person: named by the same number.
        _event("target_id", "accounts.AuditActor", "user", to="accounts.User"),
        # And to what leads to nobody else. Its row goes with the person, or is emptied of them.
        _event("target_id", "accounts.Membership", "user", to="accounts.Membership"),
        _event("target_id", "accounts.Invitation", "email", to="accounts.Invitation"),
        _event("target_id", "accounts.Consent", "user", to="accounts.Consent"),
        _event("target_id", "dpa.Signatory", "membership__user", to="dpa.Signatory"),
        _event("target_id", "gdpr.RequestedRight", "request__person", to="gdpr.RequestedRight"),
        _event("target_id", "gdpr.Package", "person", to="gdpr.Package"),
        _event("target_id", "gdpr.Letter", "right__request__person", to="gdpr.Letter"),
        _event("target_id", "gdpr.PersonRestriction", "person", to="gdpr.PersonRestriction"),
    ),
    audiences=(*AUDIENCES, Audience.ORGANISATION),
    fields=(
        Personal(
            name="actor_id", what=_("the person's random number in the audit trail"), leads=True
        ),
        Personal(name="at", what=_("when")),
        Personal(name="action", what=_("what was done")),
        Personal(name="target_type", what=_("what kind of thing it was done to")),
        Personal(name="target_id", what=_("the number of that thing"), leads=True),
        Personal(name="fields", what=_("names of the fields that changed, without their values")),
        Personal(name="organisation", what=_("the organisation it happened in")),
        NotPersonal(("id", "sequence", "previous_digest", "digest"), "the chain that proves order"),
    ),
)

AUDIT_CHAIN = Entry(
    model="accounts.AuditChain",
    title=_("Audit trail: heads of the chains"),
    fields=(
        NotPersonal(("id", "organisation", "head_sequence", "head_digest"), "counts and digests"),
    ),
)

AUDIT_CHECKPOINT = Entry(
    model="accounts.AuditCheckpoint",
    title=_("Audit trail: checkpoints for what was forgotten"),
    fields=(
        NotPersonal(
            ("id", "organisation", "sequence", "digest", "signature", "created_at"),
            "counts and digests",
        ),
    ),
)

ENTRIES = (
    USER,
    USER_GROUPS,
    USER_PERMISSIONS,
    SESSION,
    TOTP_DEVICE,
    BACKUP_CODE_DEVICE,
    BACKUP_CODE,
    MEMBERSHIP,
    INVITATION,
    ORGANISATION,
    ORGANISATION_KEY,
    AUDIT_ACTOR,
    AUDIT_EVENT,
    AUDIT_CHAIN,
    AUDIT_CHECKPOINT,
)
