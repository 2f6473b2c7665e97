# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of a refusal: whether they say that an address is no more, and what else. Pure.

Servers send codes of unknown addresses with refusals of every kind. Mail that is not sent to an
address that works is lost for good, and mail to one that is gone costs a refusal: so the words have
to say that there is nobody, in one of the ways listed here, and nothing besides. Other reasons are
without number, and in every language; what stands around a refusal and is none is listed instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from relay.smtp.addresses import is_inner_name

# What stands for the recipient where the refusal names it.
_NAMED = " recipient "
# Between what is refused and what is said of it; nothing else may have come in.
_OF_IT = r"(?:(?!\b(?:server|host|system)\b)[^.;]){0,40}?\b"

# Each row: what is said of whom before, whom, and what is said of them after.
_LANGUAGES = (
    (  # English
        r"unknown(?: or illegal)?|invalid|no such|non-?existent|unrout(?:e)?able|"
        r"bad destination|illegal",
        r"user ?(?:name|id)?|mailbox(?: address)?|(?:local |e-?mail |virtual |recipient )*"
        r"(?:user|mailbox|recipient|address|account|person|addressee|alias|local.part)",
        r"unknown|not found|not known|not exist|doesn't exist|not registered|disabled|"
        r"inactive|closed|deleted|discontinued|deactivated|terminated|no longer (?:on|with|valid|"
        r"active|available|exists?|in use)|not listed in (?:the )?(?:\w+ )?directory",
    ),
    (  # Danish
        r"ukendt|ugyldig|ikke-eksisterende|ingen s(?:å|aa)dan",
        r"modtager(?:en|adresse|adressen)?|bruger(?:en)?|postkasse(?:n)?|adresse(?:n)?|mailboks|"
        r"adressat(?:en)?|konto(?:en)?|e?-?mail-?adresse(?:n)?",
        r"findes ikke|eksisterer ikke|ukendt|ikke fundet|nedlagt|lukket|slettet|deaktiveret",
    ),
    (  # Swedish
        r"okänd|ogiltig|ingen sådan",
        r"mottagare(?:n|adress)?|användare(?:n)?|(?:e-post)?adress(?:en)?|brevlåda(?:n)?|konto(?:t)?",
        r"finns inte|existerar inte|okänd|hittades inte|avslutad|stängd|stängt|borttagen",
    ),
    (  # Norwegian
        r"ukjent|ugyldig|ingen slik",
        r"mottaker(?:en|adresse)?|bruker(?:en)?|(?:e-post)?adresse(?:n)?|postkasse(?:n)?|konto(?:en)?",
        r"finnes ikke|eksisterer ikke|ukjent|ikke funnet|stengt|slettet|deaktivert|avsluttet",
    ),
    (  # German
        r"unbekannte[rns]?|ungültige[rns]?|kein(?:e|en)? solche[rns]?",
        r"empfänger(?:adresse)?|benutzer|nutzer|(?:e-?mail-?)?adresse|postfach|mailbox|konto",
        r"unbekannt|nicht bekannt|existiert nicht|nicht gefunden|nicht vorhanden|gibt es nicht|"
        r"deaktiviert|gelöscht|geschlossen",
    ),
    (  # French, Dutch and Spanish
        r"onbekende|usuario desconocido de",
        r"utilisateur|destinataire|adresse|boîte|gebruiker|mailbox|adres|usuario|destinatario",
        r"inconnue?|invalide|n'existe pas|onbekend|bestaat niet|desconocido|no existe",
    ),
)
_PHRASES = (
    r"no mailbox (?:here )?by that name|no mailbox here|no one at this address",
    r"no such (?:one|name) here",
    r"(?:doesn't|does not) have an? (?:\S+ )?account",
    r"not a (?:valid|known) (?:rfc \d+ )?(?:\S+ )?(?:mailbox|user|address|recipient|account)",
    r"resolver\.adr\.(?:ex)?recip(?:ient)?notfound",
    r"null mx",
)
_GONE = re.compile(
    "|".join(
        [
            *(
                rf"\b(?:{before}) (?:{whom})\b|\b(?:{whom})\b{_OF_IT}(?:{after})\b"
                for before, whom, after in _LANGUAGES
            ),
            *(rf"\b{phrase}\b" for phrase in _PHRASES),
            r"^\W*unknown\W*$",
        ]
    )
)
# Blocked, and yet for good and for no fault of the mail.
_UNUSED = re.compile(
    r"\b(?:mailbox|account|user|address)\b.{0,20}\b(?:blocked|locked|disabled|suspended|closed)"
    r" (?:due to|because of|for) (?:long )?inactivity\b"
)

# About the mail, who sends it, from where and how.
_POLICY = re.compile(
    r"\b(?:spf|dkim|dmarc|polic(?:y|ies)|regel\w*|richtlinie\w*|\w*spam\w*|junk\w*|virus\w*|"
    r"malware|phish\w*|content|inhalt|indhold\w*|attachments?|headers?|unsolicited|bulk|reputation|"
    r"\w*block(?:ed|s|ing)?|\w*block ?list\w*|\w*black ?list\w*|(?:white|allow|grey|gray) ?list\w*|"
    r"(?<!not )listed|blokeret|blockerad|blokkert|blockiert|gesperrt|sortlistet|svartlistad|"
    r"dnsbl|rbl|helo|ehlo|(?:reverse )?dns|rdns|ptr|hostname|un?authenti\w+|authenti\w+|auth|"
    r"(?:un)?authori[sz]\w+|credentials?|senders?|sender's|afsender\w*|avsändare\w*|avsender\w*|"
    r"absender\w*|expéditeurs?|expédition|émetteurs?|afzender\w*|remitente\w*|mittente|originators?|"
    r"(?:return|reply|bounce|your) (?:e-?mail )?(?:address|account)|fra-adresse\w*|"
    r"(?:din|deres|dit|ihre?|votre|uw|su|tu) (?:e-?mail-?)?(?:adresse\w*|adress|konto|compte|"
    r"boîte|postfach|adres|cuenta)|return.path|envelope|"
    r"(?:mail|message|envelope|address) from|from address|"
    r"call(?:out|back)s?|verif\w+|tls|ssl|starttls|encrypt\w*|certificates?|forbidden|denied|"
    r"prohibited|restricted|banned|abus\w+|suspicious|security|attacks?|members?|subscribers?|"
    r"moderat\w+|challenge\w*|confirm\w*|not (?:allowed|permitted)|ikke tilladt|ikke tillatt|"
    r"inte tillåten|nicht erlaubt|ip|ip-adresse\w*|connecti(?:on|ng)\w*|"
    r"your (?:host|server|domain|network|mail ?server)|client host|loop\w*|hops?|"
    r"agents?|syntax|counts?|literals?|arguments?|parameters?|your command|may write|"
    r"errors? from|errors|erreurs?|fehler|"
    r"afvist|avvisad|avvist|abgelehnt|complain\w*)\b"
)
# Whom the server serves, never whether the address exists.
_RELAY_DENIED = re.compile(
    r"\brelay(?:ing)?\b.{0,30}\b(?:denied|prohibited|disallowed|refused|forbidden|rejected|"
    r"not (?:permitted|allowed|authori[sz]ed|supported))\b|"
    r"(?:\bnot (?:permitted|allowed|authori[sz]ed)|\bunable|\bcannot|\bnot|\bdenied|\brefuses?)"
    r" (?:to )?relay\b|"
    r"\bauthentication (?:is )?required\b|\bmust (?:first )?authenticate\b"
)
# What stands around a refusal and is no reason: sentences, and words by themselves.
_FRAMES = (
    r"recipient address rejected|undeliverable address|message was not accepted",
    r"in (?:the )?(?:(?:local|relay|virtual) )?(?:(?:recipient|mailbox|alias) )?(?:domain )?table",
    r"(?:your )?message to recipient cannot be delivered",
    r"(?:that )?you (?:tried|are trying) to (?:reach|contact)",
    r"please (?:try )?(?:double-)?check(?:ing)? the (?:recipient's )?(?:e-?mail )?address"
    r"(?: for typos or unnecessary spaces)?",
    r"for more(?: information)?|learn more|go to|see|visit",
    r"requested (?:mail )?action (?:aborted|not taken)|delivery error",
    r"said|in reply to rcpt to command|by smtp address lookup",
    r"not accepting messages|for over \d+ days",
    r"(?:local )?mailbox recipient is unavailable",
    r'user(?:: "[^"\s]*"| \S+ \( ?recipient ?\))',
    r"mode: normal|state \d+",
)
# A word with a digit is a mark by which the server finds this refusal again.
_NO_REASON = re.compile(
    r".*\d.*|a|an|and|any|at|been|by|dd|does|email|has|have|here|host|i|in|is|it|link|longer|mail|no|"
    r"of|on|please|remove|server|smtp|sorry|system|that|the|there|this|to|was|with|company|"
    r"au|d|denne|der|die|diesem|ce|el|est|la|le|moins|på|un|"
    r"cuda_nsu|chkuser|error_code|gsmtp|psmtp|rcpt|rp|rusr|unf|usersearch|x-unix"
)
# All that a refusal may hold which says that nobody is there: a frame before the words in it.
_TOLD = re.compile(
    "|".join(
        [
            *(rf"\b(?:{frame})(?!\w)" for frame in _FRAMES),
            _UNUSED.pattern,
            *(rf"\b{phrase}\b" for phrase in _PHRASES),
            *(
                rf"\b(?:(?:or )?(?:{before}|{after})|{whom})\b"
                for before, whom, after in _LANGUAGES
            ),
        ]
    )
)
_WORD = re.compile(r"[\w'-]*\w")

_URL = re.compile(r"\bhttps?://\S+", re.IGNORECASE)
_MENTIONED = re.compile(
    r"<([^<>\s]*)>|(\"(?:[^\"\\]|\\.)*\"@[^\s<>()\"',;:]+)|"
    r"([^\s<>()\"',;:@\[\]]+@[^\s<>()\"',;:\[\]]+)"
)
# Lower case, so that a sentence that begins without a space is no name.
_HOST = re.compile(r"(?<![\w.-])[a-z0-9-]+(?:\.[a-z0-9-]+)+(?![\w-])")
_LISTS = re.compile(
    r"spamhaus|spamcop|sorbs|barracudacentral|uceprotect|surbl|dnsbl|(?:^|\.)[a-z]{0,3}bl\."
)
_CODE = re.compile(r"(?<![\w.])(?:#?[245]\.\d{1,3}\.\d{1,3}|[45]\d\d)(?![\w.]*\w)-?")


class Words(NamedTuple):
    """What a refusal says. ``plain``: in lower case and without codes; addresses, hosts and links
    are only named.

    ``names_recipient`` and ``names_other``: whose addresses stand in it.
    """

    plain: str
    names_recipient: bool
    names_other: bool

    @property
    def is_of_policy(self) -> bool:
        """Whether it speaks of the mail, of who sends it, or of where it comes from."""
        used = _UNUSED.sub(" ", self.plain)
        return bool(_POLICY.search(used) or _RELAY_DENIED.search(used))

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing in it, but perhaps the recipient's address."""
        return not self.names_other and not _WORD.search(self.plain.replace(_NAMED.strip(), ""))

    @property
    def says_gone(self) -> bool:
        """Whether it says that nobody is there, and nothing besides."""
        is_said = bool(_GONE.search(self.plain) or _UNUSED.search(self.plain))
        return is_said and not self.names_other and not self._may_say_more

    @property
    def _may_say_more(self) -> bool:
        """Whether there is a word in it that may be of another reason."""
        words = _WORD.findall(_TOLD.sub(" ", self.plain))
        return not all(map(_NO_REASON.fullmatch, words))


def read(text: str, recipients: Collection[str]) -> Words:
    """Read a refusal of mail to some addresses; without any, each one it names is another's."""
    text = _URL.sub(" link ", text.replace("\u2019", "'"))
    named = list(_named(text))
    ours = [any(is_inner_name(name, one) for one in recipients) for name in named]
    plain = _HOST.sub(_kind_of_host, _CODE.sub(" ", _MENTIONED.sub(_NAMED, text)))
    plain = " ".join(plain.lower().split())
    return Words(plain, names_recipient=any(ours), names_other=not all(ours))


def _kind_of_host(found: re.Match[str]) -> str:
    """Leave of a host whether it is that of a list of senders."""
    return " blocklist " if _LISTS.search(found[0]) else " host "


def _named(text: str) -> Iterator[str]:
    for found in _MENTIONED.finditer(text):
        yield (found[1] or found[2] or found[3] or "").strip(".!?").removeprefix("mailto:")
