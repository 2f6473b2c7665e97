# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests of data subjects: what was asked for, how far each right has come, and every step."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gdpr.deadlines import Stage

# Evidence of what was asked and answered, from the answer on: databeskyttelsesloven § 41(7).
REQUEST_KEPT_DAYS = 5 * 365 + 1


STAGES = [
    (Stage.HALF.value, _("half of the time is over")),
    (Stage.MOST.value, _("four fifths of the time are over")),
    (Stage.LAST_DAYS.value, _("the last days")),
    (Stage.OVERDUE.value, _("promise broken")),
]


class Right(models.TextChoices):
    """What a person may ask for, by article of the GDPR."""

    ACCESS = "access", _("access (article 15)")
    RECTIFICATION = "rectification", _("rectification (article 16)")
    ERASURE = "erasure", _("erasure (article 17)")
    RESTRICTION = "restriction", _("restriction (article 18)")
    PORTABILITY = "portability", _("portability (article 20)")
    OBJECTION = "objection", _("objection (article 21)")
    CONSENT = "consent", _("withdrawal of consent (article 7(3))")
    REVIEW = "review", _("review by a person (article 22)")


class Request(models.Model):
    """One letter to us, with one right or several. The evidence outlives the person's account."""

    class Channel(models.TextChoices):
        PORTAL = "portal", _("portal")
        FORM = "form", _("public form")
        STAFF = "staff", _("mail, phone or post")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    person = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    language = models.CharField(_("language"), max_length=2)
    received_at = models.DateTimeField(_("received"))
    # When it was proven who asks. Until then the request has no person, so that nothing of what
    # somebody wrote in another's name leads to that other (article 12(6)).
    proven_at = models.DateTimeField(_("identity proven"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("request")
        verbose_name_plural = _("requests")
        indexes = [models.Index(fields=["person", "-received_at"], name="request_of_person")]
        constraints = [
            models.CheckConstraint(
                name="request_of_nobody_until_proven",
                condition=models.Q(person=None) | models.Q(proven_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{_('Request')} {self.reference}"

    @property
    def reference(self) -> str:
        """What a person and staff call the request by."""
        return str(self.id)[:8]


class RequestedRight(models.Model):
    """One right within a request, with its own state, clock and resolution."""

    class State(models.TextChoices):
        RECEIVED = "received", _("received")
        IDENTITY = "identity", _("identity to be proven")
        ASSESS = "assess", _("being assessed")
        PAUSED = "paused", _("awaiting the person")
        ACT = "act", _("being carried out")
        DONE = "done", _("done")
        PARTLY_DONE = "partly_done", _("partly done")
        REFUSED = "refused", _("refused")
        WITHDRAWN = "withdrawn", _("withdrawn")
        NOT_IDENTIFIABLE = "not_identifiable", _("not identifiable")

    FINAL = frozenset(
        {
            State.DONE,
            State.PARTLY_DONE,
            State.REFUSED,
            State.WITHDRAWN,
            State.NOT_IDENTIFIABLE,
        }
    )
    # Article 12(4): who does not get all that was asked for is told why.
    EXPLAINED = frozenset({State.PARTLY_DONE, State.REFUSED, State.NOT_IDENTIFIABLE})

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="rights")
    right = models.CharField(_("right"), max_length=20, choices=Right)
    state = models.CharField(_("state"), max_length=20, choices=State, default=State.RECEIVED)
    # What the person wrote about it; nothing where nothing had to be explained.
    details = models.TextField(_("details"), blank=True)
    promised_on = models.DateField(_("promised"))
    due_on = models.DateField(_("limit of the law"))
    extended_at = models.DateTimeField(_("extended"), null=True, blank=True)
    # When the service did what it does by itself once it is proven who asks (gdpr/carrying.py).
    begun_at = models.DateTimeField(null=True)
    # The answer that somebody else looks at again, at the person's wish.
    second_look_of = models.OneToOneField(
        "self", null=True, on_delete=models.SET_NULL, related_name="second_look"
    )
    # The last stage of the clock that staff have been told of.
    escalated = models.CharField(_("escalated"), max_length=10, choices=STAGES, blank=True)
    # NULL where the person was erased, words that may name them included.
    resolution = models.TextField(  # noqa: DJ001 - an answer that was given is never empty
        _("resolution"), blank=True, default="", null=True
    )
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("requested right")
        verbose_name_plural = _("requested rights")
        constraints = [
            models.UniqueConstraint(
                name="requestedright_once_in_request", fields=["request", "right"]
            ),
            models.CheckConstraint(
                name="requestedright_promise_within_limit",
                condition=models.Q(promised_on__lte=models.F("due_on")),
            ),
            models.CheckConstraint(
                name="requestedright_closed_when_final",
                condition=models.Q(
                    state__in=[
                        "done", "partly_done", "refused", "withdrawn", "not_identifiable",
                    ],
                    closed_at__isnull=False,
                )
                | models.Q(
                    state__in=["received", "identity", "assess", "paused", "act"],
                    closed_at__isnull=True,
                ),
            ),
            models.CheckConstraint(
                name="requestedright_no_without_reasons",
                condition=~models.Q(
                    state__in=["partly_done", "refused", "not_identifiable"], resolution=""
                ),
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["promised_on"],
                condition=models.Q(closed_at=None),
                name="requestedright_open_by_date",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_right_display()} {str(self.id)[:8]}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def state_to_person(self) -> str:
        """What the person whose request it is reads of its state."""
        is_paused = self.state == self.State.PAUSED
        return gettext("awaiting you") if is_paused else self.get_state_display()


class Step(models.Model):
    """Something that happened to a right. Rows are added and never changed (a trigger sees to it),
    but for `reason`, which is emptied when the person is erased.

    `actor_id` is the person's id in the installation's audit trail (accounts.AuditActor): erasing
    that row makes the step anonymous. `by` says what kind of actor it was.
    """

    class Kind(models.TextChoices):
        RECEIVED = "received", _("received")
        IDENTITY = "identity", _("identity to be proven")
        PROVEN = "proven", _("identity proven")
        ASSESS = "assess", _("being assessed")
        PAUSED = "paused", _("the person was asked")
        ACT = "act", _("being carried out")
        DONE = "done", _("done")
        PARTLY_DONE = "partly_done", _("partly done")
        REFUSED = "refused", _("refused")
        WITHDRAWN = "withdrawn", _("withdrawn")
        NOT_IDENTIFIABLE = "not_identifiable", _("not identifiable")
        APPROVAL = "approval", _("a second person was asked to approve")
        APPROVED = "approved", _("a second person has approved")
        DECLINED = "declined", _("a second person has not approved")
        EXTENDED = "extended", _("time extended")
        FEE = "fee", _("a fee was asked for")
        ESCALATED = "escalated", _("clock watched")
        REMINDED = "reminded", _("the person was reminded")
        PREPARED = "prepared", _("package ready")
        DOWNLOADED = "downloaded", _("package downloaded")
        DESTROYED = "destroyed", _("package destroyed")

    class By(models.TextChoices):
        PERSON = "person", _("the person")
        STAFF = "staff", _("staff")
        SERVICE = "service", _("the service")

    right = models.ForeignKey(RequestedRight, on_delete=models.CASCADE, related_name="steps")
    kind = models.CharField(_("step"), max_length=20, choices=Kind)
    by = models.CharField(_("by"), max_length=10, choices=By)
    actor_id = models.UUIDField(_("actor"), null=True)
    at = models.DateTimeField(_("time"))
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{_('Step')} {self.kind} {self.pk}"
