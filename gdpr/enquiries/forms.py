# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public form, and what an organisation says of a request. What is typed is only read here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.forms import EMAIL_LENGTH
from gdpr.enquiries import headers
from gdpr.enquiries.asking import Asked, Whom
from gdpr.enquiries.headers import Named
from gdpr.models import Right
from relay.smtp.addresses import AddressError, parse_address

WORDS_LENGTH = 2_000

OFFERED: dict[Right, Any] = {
    Right.ACCESS: _("See what is kept about me (article 15)"),
    Right.RECTIFICATION: _("Have something corrected (article 16)"),
    Right.ERASURE: _("Have it erased (article 17)"),
    Right.RESTRICTION: _("Have it kept but not used (article 18)"),
    Right.PORTABILITY: _("Take it along to another service (article 20)"),
    Right.OBJECTION: _("Object: send me nothing more, or do not use it (article 21)"),
    Right.CONSENT: _("Withdraw a consent (article 7(3))"),
}

WHOM: dict[Whom, Any] = {
    Whom.SENDER: _("One sender, whom I name below"),
    Whom.EVERYONE: _("Everyone who has written to this address through this service"),
    Whom.OURSELVES: _("Brevdue itself, where I have an account"),
}


def _lines(label: Any, length: int, rows: int, why: Any = "") -> Any:
    widget = forms.Textarea(attrs={"rows": rows, "autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(
        label=label, max_length=length, help_text=why, required=False, widget=widget
    )


class EnquiryForm(forms.Form):
    """What somebody asks for who need not have an account; says nothing about what is known."""

    # Not an EmailField, which knows no letters beyond ASCII before the @ (RFC 6531).
    address = forms.CharField(
        label=_("Your e-mail address"),
        max_length=EMAIL_LENGTH,
        help_text=_("The one that it is about. We mail a link to it, and do nothing before that."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    rights = forms.MultipleChoiceField(
        label=_("What do you ask for?"),
        choices=list(OFFERED.items()),
        widget=forms.CheckboxSelectMultiple,
    )
    whom = forms.ChoiceField(
        label=_("Whom do you ask?"), choices=list(WHOM.items()), widget=forms.RadioSelect
    )
    sender = forms.CharField(
        label=_("The sender"),
        max_length=EMAIL_LENGTH,
        help_text=_("Their address or domain, such as shop.example."),
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    header = _lines(
        _("Or the header of a mail from them"),
        headers.LONGEST,
        4,
        _("Your mail program shows it as source or original. We read who sent it, and keep"
          " nothing else of it."),
    )  # fmt: skip
    agreed = forms.BooleanField(
        label=_("Everyone who has written to me may be told that I ask"),
        help_text=_("Needed when you ask everyone: each of them gets your address and words."),
        required=False,
    )
    words = _lines(
        _("What they should know"),
        WORDS_LENGTH,
        4,
        _("Such as what is wrong. Never a civil registration number or a copy of a passport."),
    )

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"]
        try:
            return str(parse_address(address, utf8=True))
        except AddressError:
            raise ValidationError(_("That is not an address that mail can be sent to.")) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        whom = data.get("whom")
        if whom == Whom.SENDER and not self._named(data):
            refusal = _("Name the sender by an address or a domain, or paste the header of a mail.")
            self.add_error("sender", refusal)
        if whom == Whom.EVERYONE and not data.get("agreed"):
            self.add_error("agreed", _("Tick this, or name one sender."))
        return data

    def asked(self) -> Asked:
        data = self.cleaned_data
        whom = Whom(data["whom"])
        return Asked(
            address=data["address"],
            # As often as it is ticked, a right is asked for once.
            rights=tuple(right for right in OFFERED if right in data["rights"]),
            whom=whom,
            named=self._named(data) if whom is Whom.SENDER else Named(),
            words=data["words"].strip(),
            language=get_language() or "da",
        )

    def _named(self, data: Mapping[str, Any]) -> Named:
        """Return whom the person names: what was typed, before what a mail says."""
        return headers.of_sender(data.get("sender", "")) or headers.of_header(
            data.get("header", "")
        )


class OwnEnquiryForm(EnquiryForm):
    """The same form for the address that a link has proven; no other can be written in it."""

    def __init__(self, *args: Any, address: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["address"]
        field.initial, field.disabled = address, True
        field.help_text = _("Your link has proven it: no other mail is needed.")


class RecordForm(forms.Form):
    """What an organisation says of a request that was passed on to it."""

    what = forms.ChoiceField(label=_("What is the state?"), widget=forms.RadioSelect)
    reason = _lines(
        _("The reasons that you have given"),
        WORDS_LENGTH,
        4,
        _("Needed when you have refused or need more time: the person has a right to them."),
    )

    def __init__(self, *args: Any, moves: Mapping[str, str | Promise], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["what"]).choices = list(moves.items())
