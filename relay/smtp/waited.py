# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a notification says of mail that was not tried last: in Danish and in English."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waited:
    """Mail that waited instead of being tried, and why: a queued delivery's reason."""

    reason: str
    was_tried: bool  # ever before


@dataclass(frozen=True, slots=True)
class Words:
    """One language of the notification."""

    unnamed: str  # stands for a recipient who is not named
    last: str  # comes before the last reply of mail whose time was up
    silence: str  # stands where there was no reply
    came_back: str  # comes before why mail that was taken was returned
    no_reason: str  # stands where the other server gave none
    never: str
    not_again: str
    because: str
    reasons: dict[str, str]

    def story(self, waited: Waited, expired: bool) -> Iterator[str]:
        """Yield the sentences; none names a reason that the mail does not have."""
        if expired:
            yield self.not_again if waited.was_tried else self.never
        if waited.reason in self.reasons:
            yield f"{self.because}: {self.reasons[waited.reason]}."


DANISH = Words(
    unnamed="en modtager, hvis adresse organisationen for tiden ikke bruger",
    last="Vi prøvede, til fristen udløb. Det sidste svar var:",
    silence="modtagerens server svarede ikke",
    came_back="Modtagerens server tog imod den og sendte den retur senere. Begrundelsen var:",
    no_reason="der er ingen begrundelse",
    never="Den blev ikke prøvet, før fristen udløb.",
    not_again="Den kunne ikke prøves igen, før fristen udløb.",
    because="Årsag",
    reasons={
        "deferred": "mailserveren bad om at prøve senere",
        "unreachable": "mailserveren kunne ikke nås",
        "tls": "der var ingen sikker forbindelse til mailserveren",
        "sign_in_refused": "mailserveren afviste brugernavn eller adgangskode",
        "no_route": "der er ikke sat en rute op",
        "route_paused": "ruten er på pause",
        "stopped": "afsendelse er stoppet for organisationen",
        "uncertain": "forbindelsen brød før svaret",
        "unopened": "tjenesten kunne ikke dekryptere meddelelsen eller ruten",
        "untold": "den slog fejl før, og det kunne ikke meddeles med det samme",
        "simulated": "en udsættelse, der er simuleret i sandkassen",
        "held": "den blev holdt tilbage af en person i organisationen",
        "resting": "mailserveren kunne ikke nås og får ro et stykke tid",
        "over_quota": "organisationen havde sendt så meget, som den måtte",
        "paced": "ruten havde taget så meget, som den måtte",
        "quarantined": "lagt til side, fordi denne tjeneste fejlede på den flere gange",
        "bounces": "for meget mail fra domænet kom retur",
        "suppressed": "adressen står på organisationens liste over adresser, der ikke får mail",
        "restricted": "organisationen bruger for tiden ikke adressen",
        "recipient_tls": "modtagerens domæne kræver kryptering, som dets server ikke tilbød",
    },
)
ENGLISH = Words(
    unnamed="a recipient whose address the organisation does not use for the time being",
    last="It was tried until its time was up. The last answer was:",
    silence="the recipient's server did not answer",
    came_back="The recipient's server took it and returned it later. The reason was:",
    no_reason="none was given",
    never="It was not tried before its time was up.",
    not_again="It could not be tried again before its time was up.",
    because="Reason",
    reasons={
        "deferred": "the mail server asked to try later",
        "unreachable": "the mail server could not be reached",
        "tls": "there was no secure connection to the mail server",
        "sign_in_refused": "the mail server refused user name or password",
        "no_route": "no route is set up",
        "route_paused": "the route is paused",
        "stopped": "sending is stopped for the organisation",
        "uncertain": "the connection broke before the answer",
        "unopened": "this service could not decrypt the message or the route",
        "untold": "it failed before, and that could not be told at once",
        "simulated": "a deferral simulated in the sandbox",
        "held": "it was held back by somebody in the organisation",
        "resting": "the mail server could not be reached and is left alone a while",
        "over_quota": "the organisation had sent as much as it may",
        "paced": "the route had carried as much as it may",
        "quarantined": "set aside, because this service failed at it repeatedly",
        "bounces": "too much mail from the domain came back",
        "suppressed": "the address is on the organisation's list of addresses that get no mail",
        "restricted": "the organisation does not use the address for the time being",
        "recipient_tls": "the recipient's domain demands encryption that its server did not offer",
    },
)
