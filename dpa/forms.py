# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms of agreements: signing, naming a signatory, checking a file."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _text
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from dpa import checking, texts
from dpa.signatories import nameable

SHA256_HEX = r"^[0-9a-f]{64}\Z"


class SignForm(forms.Form):
    """What a signatory declares; `document` and `declared` come back as the page showed them."""

    authority = forms.BooleanField()
    terms = forms.BooleanField()
    document = forms.RegexField(SHA256_HEX, widget=forms.HiddenInput)
    declared = forms.CharField(max_length=80, widget=forms.HiddenInput)

    def __init__(self, *args: Any, language: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, block in texts.signing_terms(language).items():
            self.fields[name].label = block.title
            self.fields[name].help_text = " ".join(part.words for part in block.passages)


class MemberField(forms.ModelChoiceField):  # type: ignore[type-arg] # generic in the stubs only
    def label_from_instance(self, obj: Membership) -> str:
        return f"{obj.user.get_full_name()} – {obj.get_role_display()}"


class SignatoryForm(forms.Form):
    member = MemberField(
        queryset=Membership.objects.none(),
        label=_("Member"),
        empty_label=None,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, by: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(MemberField, self.fields["member"]).queryset = nameable(by)


class CheckForm(forms.Form):
    file = forms.FileField(
        label=_("PDF file"),
        widget=forms.FileInput(attrs={"accept": "application/pdf,.pdf"}),
        max_length=200,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        size = filesizeformat(checking.LARGEST)
        words = _text("At most %(size)s. It is read and then forgotten; nothing of it is kept.")
        self.fields["file"].help_text = words % {"size": size}

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > checking.LARGEST:
            raise forms.ValidationError(str(checking.TooLarge()))
        return file
