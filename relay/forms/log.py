# SPDX-License-Identifier: AGPL-3.0-or-later
"""Search in the log, and the choice of what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import clock
from relay.forms.lines import line
from relay.logchoices import Choice
from relay.models import Delivery, LogChoice, messages
from relay.search import POSSIBLE_DUPLICATE, RETURNED, Search

BEGINNING_MIN = 3
MESSAGE_ID_MOST = 998  # octets of a line (RFC 5322 §2.1.1)


def _day(label: Any) -> Any:
    return forms.DateField(
        label=label,
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        input_formats=["%Y-%m-%d"],
    )


def _address(label: Any, why: Any = "") -> Any:
    return line(label, 254, why, required=False, inputmode="email")


class SearchForm(forms.Form):
    """Search in the log by what its indexes answer fast."""

    recipient = _address(_("Recipient"), _("A whole address, or its beginning with a star: anna@*"))
    sender = _address(_("Sender"))
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("any")), *Delivery.State.choices]
    )
    mark = forms.ChoiceField(
        label=_("Of note"),
        required=False,
        choices=[
            ("", _("any")),
            (POSSIBLE_DUPLICATE, _("may have arrived twice")),
            (RETURNED, _("came back after it was taken")),
        ],
    )
    since_on = _day(_("From day"))
    until_on = _day(_("Until day"))
    credential = forms.ChoiceField(label=_("Credential"), required=False)
    number = line(
        _("Number or Message-ID"),
        MESSAGE_ID_MOST,
        _("As an answer of this service or the mail itself has it."),
        required=False,
    )

    def __init__(
        self, *args: Any, masked: bool, credentials: Sequence[tuple[str, str]], **kwargs: Any
    ) -> None:
        """`credentials` are ids and names of the organisation's own."""
        super().__init__(*args, **kwargs)
        self._masked = masked
        choices = [("", _("any")), *credentials]
        cast(forms.ChoiceField, self.fields["credential"]).choices = choices
        if masked:
            self.fields["recipient"].help_text = _("A whole address.")

    def clean_recipient(self) -> str:
        return self._searched("recipient")

    def clean_sender(self) -> str:
        return self._searched("sender")

    def _searched(self, name: str) -> str:
        text = cast(str, self.cleaned_data[name]).lower()
        beginning = text.rstrip("*")
        if self._masked and text and (beginning != text or "@" not in text):
            # Beginnings would let somebody spell out what is masked, letter by letter.
            raise ValidationError(_("Your role sees addresses masked. Write a whole address."))
        if text and len(beginning) < BEGINNING_MIN:
            raise ValidationError(
                _("Too short: write at least three characters of the address, then a star.")
            )
        return text

    def clean_until_on(self) -> Any:
        """No calendar goes on for ever; the log ends today."""
        day = self.cleaned_data["until_on"]
        return min(day, timezone.localdate(clock.now())) if day else day

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        since, until = data.get("since_on"), data.get("until_on")
        if since and until and until < since:
            self.add_error("until_on", _("That is before the first day."))
        return data

    def search(self) -> Search:
        """Return what is looked for, unless it is one message's number."""
        data = self.cleaned_data
        return Search(
            **_asked("recipient", data["recipient"]),
            **_asked("sender", data["sender"]),
            state=data["state"],
            mark=data["mark"],
            credential=data["credential"],
            since_on=str(data["since_on"] or ""),
            until_on=str(data["until_on"] or ""),
            message_id=data["number"],
        )

    @property
    def message_number(self) -> UUID | None:
        """The number of one message, if that is what was written."""
        try:
            return UUID(self.cleaned_data["number"])
        except ValueError:
            return None


def _asked(name: str, text: str) -> dict[str, Any]:
    address = text.rstrip("*")
    begins = bool(address) and (address != text or "@" not in address)
    return {name: address, f"{name}_begins": begins}


def written(search: Search) -> dict[str, Any]:
    """Return the form's fields as they were when the search was made."""
    return {
        "recipient": search.recipient + "*" * search.recipient_begins,
        "sender": search.sender + "*" * search.sender_begins,
        "state": search.state,
        "mark": search.mark,
        "credential": search.credential,
        "since_on": search.since_on,
        "until_on": search.until_on,
        "number": search.message_id,
    }


class LogChoiceForm(forms.Form):
    """How much is logged, and how long; what cannot be undone is asked about once more."""

    profile = forms.ChoiceField(
        label=_("What the log holds of each mail"),
        choices=LogChoice.Profile.choices,
        widget=forms.RadioSelect,
    )
    days = forms.IntegerField(
        label=_("Days"),
        min_value=1,
        max_value=messages.LOG_DAYS,
        help_text=_("Rows of the log are deleted when they are so many days old."),
    )
    agreed = forms.BooleanField(label=_("Yes, that is what we want"), required=False)

    def __init__(self, data: Any = None, *, before: Choice) -> None:
        """`before` is what is in force."""
        super().__init__(data, initial={"profile": before.profile, "days": before.days})
        self._before = before
        self.asks = False

    def choice(self) -> Choice:
        return Choice(self.cleaned_data["profile"], self.cleaned_data["days"])

    def clean(self) -> dict[str, Any]:
        """Ask once more where more is logged, or where rows go at once."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        self.asks = self.widens or self.shortens
        if self.asks and not data["agreed"]:
            self.add_error("agreed", ValidationError(_("Read what changes, then say yes.")))
        return data

    @property
    def widens(self) -> bool:
        """Whether more of a mail would be logged than now."""
        return self.choice().is_wider_than(self._before)

    @property
    def shortens(self) -> bool:
        """Whether rows would go that now stay."""
        return self.choice().days < self._before.days
