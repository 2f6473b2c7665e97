# SPDX-License-Identifier: AGPL-3.0-or-later
"""The providers that mail can be handed to, each with a fixed host: no address is a customer's.

Left out on purpose: Amazon SES (its own client library is larger than this service; its SMTP
server is an own mail server like any other and keeps the bytes), Postal (its host would be the
customer's choice) and those whose events name no message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.module_loading import import_string

# A provider reads these fields of a header as orders to itself, whoever wrote them.
_ORDERS = (
    "x-mailgun-",
    "x-pm-",
    "x-postmark-",
    "x-mailin-",
    "x-sib-",
    "x-mj-",
    "x-mailjet-",
    "x-msys-",
)
# Written anew by whoever sends, or about a way that ends here, or no longer true of new bytes.
_NOT_PASSED = frozenset(
    {
        "from", "to", "cc", "bcc", "subject", "reply-to", "sender", "date", "mime-version",
        "received", "return-path", "delivered-to", "authentication-results", "received-spf",
        "dkim-signature", "domainkey-signature",
    }
)  # fmt: skip
_NOT_PASSED_BEGINNINGS = ("content-", "arc-", "resent-", *_ORDERS)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a provider wants to hear, and what proves that an event comes from it."""

    api: str = field(repr=False)
    signing: str = field(default="", repr=False)  # "": the provider signs nothing, or it is unknown

    def joined(self) -> str:
        """Return the one secret that a route keeps."""
        return f"{self.api}\n{self.signing}" if self.signing else self.api

    @classmethod
    def split(cls, secret: str) -> Keys:
        """Read what `joined` wrote; neither key can hold a line feed."""
        api, _, signing = secret.partition("\n")
        return cls(api, signing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider in one region. Names of options are those of django-anymail's backend."""

    name: str  # of Route.Provider
    title: str
    module: str  # of django-anymail, both backend and events
    events: str  # the class that reads events
    api_url: str
    key_option: str = "api_key"
    username_option: str = ""  # where a key has two halves
    domain_option: str = ""  # where the sending domain is part of the address
    signs_events: bool = False
    country: str  # ISO 3166-1, of where the provider handles the mail
    in_eea: bool = True  # Iceland, Liechtenstein, Norway and the Union (GDPR chapter V)
    most_visible: int = 50  # recipients of one call
    # Fields beyond those that no provider is given.
    refuses: frozenset[str] = frozenset()
    # False: whether opens and clicks are followed is set in the account, not told with a mail.
    is_told_not_to_follow: bool = True
    # It changes header fields with letters beyond ASCII, so that they do not arrive as written.
    plain_fields: bool = False
    # What it takes for a template, in texts and in the header.
    text_marks: tuple[str, ...] = ()
    field_marks: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of every call
    # How a hard failure looks in an event: a path and the values there; no path: it is not told.
    hard_path: tuple[str, ...] = ()
    hard_values: tuple[object, ...] = ()
    # Of an event's Type: what a filter refused, where the library takes it for a complaint.
    filter_types: frozenset[str] = frozenset()
    words_field: str = ""  # where another server's words stand that the library leaves out

    @property
    def needs_domain(self) -> bool:
        return bool(self.domain_option)

    @property
    def needs_username(self) -> bool:
        return bool(self.username_option)

    def url(self, replaced: Mapping[str, str]) -> str:
        """Return where the API is; `replaced` is for development, by names of providers."""
        return replaced.get(self.name, self.api_url)

    def backend(self, url: str, keys: Keys, username: str, domain: str) -> Any:
        """Return django-anymail's backend for one account."""
        words = {"api_url": url, self.key_option: keys.api}
        if self.username_option:
            words[self.username_option] = username
        if self.domain_option:
            words[self.domain_option] = domain
        return import_string(f"anymail.backends.{self.module}.EmailBackend")(**words)

    def reader(self, **words: str) -> Any:
        """Return django-anymail's reader of this provider's events."""
        kind = import_string(f"anymail.webhooks.{self.module}.{self.events}")
        # The secret in our own address stands for basic authentication, which it would warn about.
        quiet = type(kind.__name__, (kind,), {"warn_if_no_basic_auth": False})
        return quiet(**words)

    def passes(self, name: str) -> bool:
        """Whether a header field travels on."""
        plain = name.lower()
        if plain in _NOT_PASSED or plain in self.refuses:
            return False
        return not plain.startswith(_NOT_PASSED_BEGINNINGS)

    def is_filter(self, event: Mapping[str, Any]) -> bool:
        """Whether a filter refused the mail, of which the person knows nothing."""
        return event.get("Type") in self.filter_types

    def words(self, event: Mapping[str, Any]) -> str:
        """Return what the other server said, where the library does not read it."""
        return str(event.get(self.words_field) or "") if self.words_field else ""

    def is_hard(self, event: Mapping[str, Any]) -> bool | None:
        """Whether an event of this provider says that the address takes no mail later either.

        None: it says nothing of the kind, and the words have to.
        """
        if not self.hard_path:
            return None
        found: Any = event
        for step in self.hard_path:
            if not isinstance(found, Mapping):
                return False
            found = found.get(step)
        return found in self.hard_values


def _mailgun(name: str, title: str, host: str, country: str, *, in_eea: bool) -> Provider:
    return Provider(
        name=name,
        title=title,
        module="mailgun",
        events="MailgunTrackingWebhookView",
        api_url=f"https://{host}/v3/",
        domain_option="sender_domain",
        signs_events=True,
        country=country,
        in_eea=in_eea,
        # Its "permanent" says that it tries no more, for whatever reason: only words tell which.
    )


_KNOWN: Iterable[Provider] = (
    _mailgun("mailgun_eu", "Mailgun (EU)", "api.eu.mailgun.net", "DE", in_eea=True),
    _mailgun("mailgun_us", "Mailgun (US)", "api.mailgun.net", "US", in_eea=False),
    Provider(
        name="postmark",
        title="Postmark",
        module="postmark",
        events="PostmarkTrackingWebhookView",
        api_url="https://api.postmarkapp.com/",
        key_option="server_token",
        country="US",
        in_eea=False,
        hard_path=("Type",),
        hard_values=("HardBounce", "BadEmailAddress"),
        filter_types=frozenset({"SpamNotification"}),
    ),
    Provider(
        name="brevo",
        title="Brevo",
        module="brevo",
        events="BrevoTrackingWebhookView",
        api_url="https://api.brevo.com/v3/",
        country="FR",
        is_told_not_to_follow=False,
        plain_fields=True,
        refuses=frozenset({"sender.ip", "idempotencykey"}),
        text_marks=("{{", "{%"),
        field_marks=("{{", "{%"),
        hard_path=("event",),
        hard_values=("hard_bounce", "invalid_email"),
    ),
    Provider(
        name="mailjet",
        title="Mailjet",
        module="mailjet",
        events="MailjetTrackingWebhookView",
        api_url="https://api.mailjet.com/v3.1/",
        key_option="secret_key",
        username_option="api_key",
        country="FR",
        refuses=frozenset(
            {"message-id", "user-agent", "x-mailer", "x-feedback-id", "list-id", "x-csa-complaints"}
        ),  # fmt: skip
        hard_path=("hard_bounce",),
        hard_values=(True, 1, "1"),
        words_field="comment",
    ),
    Provider(
        name="sparkpost_eu",
        title="SparkPost (EU)",
        module="sparkpost",
        events="SparkPostTrackingWebhookView",
        api_url="https://api.eu.sparkpost.com/api/v1/",
        country="IE",
        # Switched off for the texts by the option; the header goes through its engine all the same.
        options={"options": {"perform_substitutions": False}},
        field_marks=("{{",),
        hard_path=("msys", "message_event", "bounce_class"),
        hard_values=("10",),
    ),
)
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _KNOWN}
