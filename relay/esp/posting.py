# SPDX-License-Identifier: AGPL-3.0-or-later
"""One call to a provider's API, and what its answer means. Blocks: it runs in a thread of its own.

What django-anymail raises quotes the mail and its addresses, so nothing of it leaves this module
but the provider's own words, which are masked before they are kept.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from anymail.exceptions import (
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailRequestsAPIError,
    AnymailSerializationError,
    AnymailUnsupportedFeature,
)
from anymail.message import AnymailMessage
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
)

from relay.esp.composing import Parcel
from relay.esp.providers import PROVIDERS, Keys, Provider
from relay.smtp.replies import Outcome, Scope, Verdict, bounded_text
from relay.smtp.tls import TlsDemand, TlsResult

# Seconds to connect, and between two pieces of the answer.
TIMEOUT = (10.0, 60.0)
PROBE_TIMEOUT = (6.0, 12.0)  # a person waits, and the page's process with them
# RFC 4954 §6, as a server would say that it knows nobody by this name and secret.
SIGN_IN_REFUSED = 535
UNTRUSTED = "4.7.5"  # RFC 3463 §3.8: a cryptographic failure
# What every provider here answers to a key that it does not know.
_REFUSED_KEY = 401
# A key without this right, a domain that is unknown there, or a firewall that minds the words of
# one mail: which of them, no answer says for sure, so each mail waits and the route goes on.
_UNCLEAR = (403, 404)
_LATER = (402, 408, 420, 425, 429)
# An error of these came after the mail had been handed over, perhaps after it was taken.
_UNCERTAIN = (500, 502, 504)
# Longer than this nobody is made to wait by one answer.
LONGEST_WAIT = 900.0
# Where the answers of the providers hold a sentence.
_SAYS = frozenset({"message", "errormessage", "description", "error"})
# About the account: mail that was written well must not come back because of it.
_ACCOUNT = re.compile(
    r"\b(?:credits?|accounts?|suspended|disabled|quota|sender signature|not (?:yet )?(?:verified|"
    r"allowed to send|activated)|unconfigured|pending approval|(?:sending|daily|hourly) limit)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose mail it is to the provider, and where that is."""

    provider: Provider
    url: str
    keys: Keys
    username: str = ""
    domain: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_secured(self) -> bool:
        """False in development alone."""
        return self.url.startswith("https:")

    @classmethod
    def of(
        cls, name: str, secret: str, username: str, domain: str, urls: Mapping[str, str]
    ) -> Account:
        """Return the account that a route names. `urls` replaces hosts, in development."""
        provider = PROVIDERS[name]
        return cls(
            provider=provider,
            url=provider.url(urls),
            keys=Keys.split(secret),
            username=username,
            domain=domain,
        )


@dataclass(slots=True)
class Said:
    """What became of one call. `later`: seconds until it may be asked again, where it said so."""

    outcomes: list[Outcome]
    reached: bool = True
    later: float = 0.0


@dataclass(slots=True)
class Channel:
    """A connection to a provider, for one account and one call at a time."""

    session: requests.Session = field(default_factory=requests.Session)
    version: str = ""
    cipher: str = ""

    @classmethod
    def open(cls, ca_file: str = "") -> Channel:
        """Return one that keeps no cookies, follows nothing and reads no settings of the host."""
        channel = cls()
        session = channel.session
        session.headers["User-Agent"] = "brevdue"
        session.trust_env = False  # no proxy and no .netrc of whoever runs this process
        session.max_redirects = 0
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.verify = ca_file or True
        session.hooks["response"].append(channel._look)
        return channel

    def _look(self, response: requests.Response, **_: object) -> None:
        """Note what protected the answer, while the socket is still known."""
        socket = getattr(getattr(response.raw, "connection", None), "sock", None)
        if isinstance(socket, ssl.SSLSocket):
            self.version = socket.version() or ""
            self.cipher = (socket.cipher() or ("",))[0]

    def close(self) -> None:
        self.session.close()


def post(account: Account, parcel: Parcel, channel: Channel) -> Said:
    """Hand one parcel over; never raises for the provider."""
    try:
        _backend(account, channel).send_messages([parcel.message])
    except AnymailRecipientsRefused:
        pass  # told for each recipient below
    except (AnymailUnsupportedFeature, AnymailSerializationError, AnymailInvalidAddress):
        text = "the provider cannot be given this mail"
        refused = _outcome(account, channel, Verdict.BOUNCED, Scope.POLICY, "5.6.3", text)
        return Said([refused] * len(parcel.places))
    except AnymailRequestsAPIError as error:
        return _failed(account, channel, error, len(parcel.places))
    return Said(list(_told(account, channel, parcel)))


def probe(account: Account, channel: Channel) -> Outcome:
    """Send an empty mail, which every provider refuses; DELIVERED: it knew the key."""
    backend = _backend(account, channel)
    payload = backend.build_message_payload(AnymailMessage(to=["nobody@brevdue.example"]), {})
    asked = payload.get_request_params(account.url)
    # The rights to send are all that a key needs, so nothing else is asked for.
    asked |= {"data": "{}", "files": None, "timeout": PROBE_TIMEOUT}
    try:
        response = channel.session.request(**asked)
    except requests.RequestException as error:
        return _unreached(account, channel, error, 1).outcomes[0]
    if response.status_code in (400, 422) and not _ACCOUNT.search(_words(response)):
        return _outcome(account, channel, Verdict.DELIVERED, Scope.ROUTE, "2.0.0", "")
    return _answered(account, channel, response, 1).outcomes[0]


def _backend(account: Account, channel: Channel) -> Any:
    backend = account.provider.backend(account.url, account.keys, account.username, account.domain)
    backend.timeout, backend.session = TIMEOUT, channel.session
    return backend


def _told(account: Account, channel: Channel, parcel: Parcel) -> Iterator[Outcome]:
    """Yield what the provider says of each recipient."""
    status = parcel.message.anymail_status
    for address in parcel.addresses:
        told = status.recipients.get(address)
        words = _words(status.esp_response)
        match told.status if told else "unknown":
            case "invalid":
                yield _outcome(account, channel, Verdict.BOUNCED, Scope.RECIPIENT, "5.1.3", words)
            case "rejected" | "failed":
                yield _outcome(account, channel, Verdict.BOUNCED, Scope.POLICY, "5.7.1", words)
            case "unknown":
                # Asked again it would send once more to those whom it took.
                text = f"taken by {account.provider.title}, which does not say for whom of several"
                yield _outcome(account, channel, Verdict.DELIVERED, Scope.ROUTE, "2.0.0", text)
            case _:
                number = f": {told.message_id}" if told and told.message_id else ""
                text = f"taken by {account.provider.title}{number}"
                yield _outcome(account, channel, Verdict.DELIVERED, Scope.ROUTE, "2.0.0", text)


def _failed(account: Account, channel: Channel, error: Exception, count: int) -> Said:
    response = getattr(error, "response", None)
    if response is not None:
        return _answered(account, channel, response, count)
    return _unreached(account, channel, error, count)


def _answered(account: Account, channel: Channel, response: requests.Response, count: int) -> Said:
    """Say what an answer means that is no success, or none that can be read."""
    status, words = response.status_code, _words(response)
    text = f"HTTP {status} {words}".strip()
    if status == _REFUSED_KEY:
        refused = _outcome(account, channel, Verdict.RETRY, Scope.ROUTE, "5.7.8", text)
        return Said([replace(refused, code=SIGN_IN_REFUSED)] * count)
    if status in _LATER:
        later = _outcome(account, channel, Verdict.RETRY, Scope.INFRASTRUCTURE, "4.3.2", text)
        return Said([later] * count, later=_seconds(response.headers.get("Retry-After", "")))
    if status >= 500 or status < 400:
        # An answer that cannot be read says nothing against the mail having been taken.
        uncertain = status in _UNCERTAIN or 200 <= status < 300
        down = _outcome(account, channel, Verdict.RETRY, Scope.INFRASTRUCTURE, "4.3.2", text)
        return Said([replace(down, after_dot=uncertain)] * count, reached=status < 500)
    if status in _UNCLEAR or _ACCOUNT.search(words):
        waits = _outcome(account, channel, Verdict.RETRY, Scope.INFRASTRUCTURE, "4.3.5", text)
        return Said([waits] * count)
    enhanced = "5.3.4" if status == 413 else "5.6.0"
    return Said([_outcome(account, channel, Verdict.BOUNCED, Scope.POLICY, enhanced, text)] * count)


def _unreached(account: Account, channel: Channel, error: Exception, count: int) -> Said:
    """Say what is known when no answer came: whether the mail can have been taken."""
    cause = error.args[0] if error.args else None
    if error.__cause__ is not None and error.__cause__.args:
        cause = error.__cause__.args[0]
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    certificate = isinstance(reason, Exception) and "CERTIFICATE_VERIFY" in repr(reason)
    unsent = certificate or isinstance(
        reason, (NewConnectionError, NameResolutionError, ConnectTimeoutError)
    )
    enhanced, text = (UNTRUSTED, "the certificate is not trusted") if certificate else (
        "4.4.1" if unsent else "4.4.2",
        "the provider does not answer",
    )  # fmt: skip
    lost = _outcome(account, channel, Verdict.RETRY, Scope.INFRASTRUCTURE, enhanced, text)
    return Said([replace(lost, after_dot=not unsent)] * count, reached=False)


def _outcome(
    account: Account, channel: Channel, verdict: Verdict, scope: Scope, enhanced: str, text: str
) -> Outcome:
    return Outcome(
        verdict=verdict,
        scope=scope,
        enhanced=enhanced,
        text=bounded_text(text),
        remote_host=account.host,
        tls_version=channel.version,
        tls_cipher=channel.cipher,
        tls_verified=bool(channel.version),
        tls_demand=TlsDemand.MUST if account.is_secured else TlsDemand.NONE,
        tls_result=_tls_result(account, channel, enhanced),
    )


def _tls_result(account: Account, channel: Channel, enhanced: str) -> str:
    if not account.is_secured:
        return TlsResult.PLAIN
    if channel.version:
        return TlsResult.VERIFIED
    return TlsResult.FAILED if enhanced == UNTRUSTED else ""


def _words(response: requests.Response | None) -> str:
    """Return the provider's own words, wherever it puts them."""
    if response is None:
        return ""
    try:
        return bounded_text(" ".join(_sentences(response.json(), depth=5)))
    except ValueError:
        return bounded_text(response.reason or "")


def _sentences(told: object, depth: int) -> Iterator[str]:
    if depth and isinstance(told, Mapping):
        for name, value in told.items():
            if isinstance(value, str) and name.lower() in _SAYS:
                yield value
            elif isinstance(value, (Mapping, list)):
                yield from _sentences(value, depth - 1)
    elif depth and isinstance(told, list):
        for one in told[:3]:
            yield from _sentences(one, depth - 1)


def _seconds(retry_after: str) -> float:
    """RFC 9110 §10.2.3, in seconds; a date, or nothing, counts as a minute."""
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 60.0
    return min(max(seconds, 1.0), LONGEST_WAIT)
