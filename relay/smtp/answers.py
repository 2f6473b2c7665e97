# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every reply this server gives: code, enhanced code (RFC 3463), one plain sentence, help anchor.

The class of the code decides what a client does with the message, so a refusal says whether trying
again can help: 4xx it can, 5xx it cannot. No reply quotes what the client sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from relay.smtp.headers import LONGEST_LINE as LONGEST_TEXT_LINE
from relay.smtp.headers import Fault

# RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets with its CRLF.
LONGEST_LINE = 510


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One reply. Compared by identity, so that its rendered form can be kept."""

    code: int
    enhanced: str  # "" where RFC 2034 §4 wants none: greeting, EHLO, 3yz
    sentence: str  # ASCII
    anchor: str = ""  # of the paragraph in the help page that says what to do
    closes: bool = False  # the connection ends after this reply

    @property
    def positive(self) -> bool:
        """Whether the command was carried out."""
        return self.code < 400

    def line(self, help_url: str = "") -> bytes:
        """The reply as it goes over the wire."""
        words = [str(self.code), self.enhanced, self.sentence]
        if self.anchor and help_url:
            words.append(f"{help_url}#{self.anchor}")
        text = " ".join(word for word in words if word)
        return text[:LONGEST_LINE].encode("ascii", "replace") + b"\r\n"


def queued(queue_id: str, *, sandbox: bool = False) -> Answer:
    """The promise: from here on the message is ours (RFC 5321 §6.1)."""
    if sandbox:
        return replace(IN_SANDBOX, sentence=f"{IN_SANDBOX.sentence}: {queue_id}")
    return Answer(250, "2.0.0", f"Queued as {queue_id}")


# Conversation
BYE = Answer(221, "2.0.0", "Goodbye", closes=True)
OK = Answer(250, "2.0.0", "OK")
HELP = Answer(214, "2.0.0", "How to send through this server:", "start")
NO_VERIFY = Answer(252, "2.1.5", "Addresses are not looked up here; send a message and see")
SYNTAX = Answer(501, "5.5.4", "The command is not written as it should be", "syntax")
PARAMETER = Answer(501, "5.5.4", "A parameter of the command has no valid value", "syntax")
PARAMETER_UNKNOWN = Answer(555, "5.5.4", "A parameter of the command is not known here", "syntax")
NOT_CRLF = Answer(
    500, "5.5.2", "A command line must end with CR LF and hold no control bytes", "line"
)
TOO_LONG = Answer(500, "5.5.6", "The command line is too long", "syntax")
UNKNOWN = Answer(500, "5.5.1", "This command is not known here", "syntax")
NOT_OFFERED = Answer(502, "5.5.1", "This command is not offered here", "syntax")
GREET_FIRST = Answer(503, "5.5.1", "Say EHLO first", "order")
MAIL_FIRST = Answer(503, "5.5.1", "Say MAIL FROM first", "order")
MAIL_TWICE = Answer(503, "5.5.1", "A message is already under way; say RSET to give it up", "order")
NO_RECIPIENTS = Answer(554, "5.5.1", "No recipient of this message was accepted", "order")
NO_MESSAGE = Answer(421, "4.7.0", "Too many commands without a message", "order", closes=True)
FOREIGN_PROTOCOL = Answer(421, "4.7.0", "This is a mail server", "start", closes=True)
IDLE = Answer(421, "4.4.2", "Nothing came for too long", "timeout", closes=True)
NOBODY = Answer(421, "4.4.2", "Nobody signed in for too long", "timeout", closes=True)
TOO_SLOW = Answer(421, "4.4.2", "The message came too slowly", "timeout", closes=True)
STOPPING = Answer(
    421, "4.3.2", "This server is restarting; please connect again", "reconnect", closes=True
)
SESSION_OVER = Answer(
    421, "4.7.0", "This connection was used enough; please connect again", "reconnect", closes=True
)
CROWDED = Answer(421, "4.3.2", "Too many connections; please try again soon", "busy", closes=True)
CROWDED_ADDRESS = Answer(
    421,
    "4.7.0",
    "Too many connections from your address; please try again soon",
    "busy",
    closes=True,
)
CROWDED_OWNER = Answer(
    421,
    "4.7.0",
    "Too many connections of your organisation; please try again soon",
    "busy",
    closes=True,
)
FAILED = Answer(451, "4.3.0", "Something failed on our side; please try again soon", "failure")

# Mail that comes back
SUPPRESSED = Answer(
    550,
    "5.7.1",
    "This address is on your list of addresses that get no mail",
    "suppressed",
)
# For good: a restriction lasts for as long as people argue, and whoever tried again for days would
# use the address all that time.
RESTRICTED = Answer(
    550,
    "5.7.1",
    "The use of this address is restricted in your organisation",
    "restricted",
)
TOO_MANY_BOUNCES = Answer(
    451,
    "4.7.1",
    "Too much mail from this domain came back; sending waits until somebody has looked",
    "bounces",
)

# TLS and signing in
TLS_READY = Answer(220, "2.0.0", "Start TLS now")
TLS_FIRST = Answer(530, "5.7.0", "Say STARTTLS first: nothing is accepted without TLS", "tls")
TLS_ALREADY = Answer(503, "5.5.1", "TLS is already in use", "tls")
TLS_MISSING = Answer(454, "4.7.0", "TLS is not available just now", "tls")
SIGN_IN_FIRST = Answer(530, "5.7.0", "Sign in first", "sign-in")
SIGNED_IN = Answer(235, "2.7.0", "Signed in")
SIGNED_IN_ALREADY = Answer(503, "5.5.1", "You are already signed in", "sign-in")
ENCRYPT_FIRST = Answer(538, "5.7.11", "Signing in needs TLS: say STARTTLS first", "tls")
MECHANISM = Answer(504, "5.5.4", "Only AUTH PLAIN and AUTH LOGIN are offered", "sign-in")
CANCELLED = Answer(501, "5.7.0", "Signing in was cancelled", "sign-in")
NOT_BASE64 = Answer(501, "5.5.2", "This is no valid base64", "sign-in")
# RFC 4954 §4 has 5.5.2 for base64 that cannot be read; what it holds are arguments of the command.
NOT_THREE_PARTS = Answer(
    501,
    "5.5.4",
    "AUTH PLAIN takes three parts in base64: identity, user name and password, NUL between them",
    "sign-in",
)
NOT_UTF8 = Answer(501, "5.5.4", "User name and password must be UTF-8", "sign-in")
WRONG_SIGN_IN = Answer(535, "5.7.8", "User name or password is wrong", "sign-in")
GUESSING = Answer(421, "4.7.0", "Too many failed attempts to sign in", "sign-in", closes=True)
THROTTLED = Answer(454, "4.7.0", "Too many failed attempts to sign in; please wait", "sign-in")

# Envelope
SENDER_OK = Answer(250, "2.1.0", "Sender accepted")
RECIPIENT_OK = Answer(250, "2.1.5", "Recipient accepted")
SENDER_SYNTAX = Answer(553, "5.1.7", "The sender is not a valid address", "address")
RECIPIENT_SYNTAX = Answer(553, "5.1.3", "The recipient is not a valid address", "address")
NEEDS_SMTPUTF8 = Answer(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8", "address")
TOO_MANY_RECIPIENTS = Answer(
    452, "4.5.3", "Send the other recipients in another message", "recipients"
)
TOO_LARGE = Answer(552, "5.3.4", "The message is larger than this server takes", "size")
NO_MEMORY = Answer(452, "4.3.1", "Too much is arriving at once; please try again soon", "busy")

# Return paths. Nobody's mail program is helped by a page.
NO_RETURN_PATH = Answer(550, "5.1.1", "No such return path")
REPORT_TAKEN = Answer(250, "2.0.0", "Taken")
REPORT_LATER = Answer(451, "4.3.2", "Not just now; please try again soon")

# Content
SEND_CONTENT = Answer(354, "", "Send the message, end it with <CRLF>.<CRLF>")
LINE_END = Answer(
    554, "5.6.0", "Lines must end with CR LF: the message has a bare CR or LF", "line"
)
NUL = Answer(554, "5.6.0", "The message holds a NUL character", "line")
LONG_LINE = Answer(
    554, "5.6.0", f"The message has a line of more than {LONGEST_TEXT_LINE} octets", "line"
)
HEADER = Answer(554, "5.6.0", "The header of the message is not valid or too large", "header")
REPEATED = Answer(
    554,
    "5.6.0",
    "From, Sender, Reply-To, Date or Message-ID stands more than once",
    "header",
)
FROM_MISSING = Answer(554, "5.6.0", "The message has no From", "header")
AUTHOR = Answer(554, "5.6.0", "From or Sender is not written as RFC 5322 demands", "header")
CONTROL = Answer(554, "5.6.0", "A RELAY- field asks for what cannot be done here", "control")
LOOP = Answer(554, "5.4.6", "The message has passed too many servers: a mail loop", "loop")

CONTENT = {
    Fault.LINE_END: LINE_END,
    Fault.NUL: NUL,
    Fault.LONG_LINE: LONG_LINE,
    Fault.HEADER_SIZE: HEADER,
    Fault.HEADER_COUNT: HEADER,
    Fault.HEADER_SYNTAX: HEADER,
    Fault.REPEATED: REPEATED,
    Fault.FROM_MISSING: FROM_MISSING,
    Fault.AUTHOR: AUTHOR,
    Fault.CONTROL: CONTROL,
    Fault.LOOP: LOOP,
}

# What an organisation may do
IN_SANDBOX = Answer(250, "2.0.0", "Queued in the sandbox, nobody receives it", "sandbox")
SENDER_DOMAIN = Answer(
    550, "5.7.1", "The sender is in no verified domain that this credential may use", "domain"
)
UNCHECKED_DOMAIN = Answer(
    451, "4.7.1", "This service has not looked at the domain's record for too long", "domain"
)
AUTHOR_DOMAIN = Answer(
    550, "5.7.1", "From or Sender is in no verified domain that this credential may use", "domain"
)
AUTHOR_UNKNOWN = Answer(
    550,
    "5.7.1",
    "From does not say which credential of your network this is: use a verified domain, or sign in",
    "sign-in",
)
NO_AGREEMENT = Answer(550, "5.7.1", "Your organisation has no agreement in force", "agreement")
SUSPENDED = Answer(451, "4.7.1", "Sending is suspended for your organisation", "suspended")
BLOCKED = Answer(550, "5.7.1", "This credential is blocked", "credential")
REVOKED = Answer(421, "4.7.0", "This credential is no longer valid", "credential", closes=True)
OVER_RATE = Answer(
    450, "4.7.1", "You are sending faster than agreed; please try again soon", "rate"
)
OVER_DAY = Answer(452, "4.7.1", "The daily limit of this credential is used up", "rate")
OVER_RECIPIENTS = Answer(
    452, "4.7.1", "The daily number of recipients of this credential is used up", "rate"
)
