# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the SMTP server's replies mean to people: one explanation for each anchor that they link."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from relay.smtp import answers, headers
from relay.smtp.answers import Answer

NO_MAIL = _("There was no message yet, so there is nothing to keep. Your program still has it.")
NOTHING = _("Nothing of this message. Your program still has it, and nobody received it.")
OTHERS = _(
    "Nothing of this message. Messages that were answered with 250 on the same connection are"
    " stored and on their way."
)
COUNT = _(
    "That an attempt failed, for a few minutes, under codes that show neither the user name nor"
    " where you connect from. No password is kept."
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the replies of one anchor mean, what the service kept, and what to do."""

    title: str | Promise
    meaning: str | Promise
    kept: str | Promise
    advice: str | Promise


@dataclass(frozen=True, slots=True)
class Topic:
    """A section of the page: an anchor, the replies that link it, and their explanation."""

    anchor: str
    replies: tuple[Answer, ...]
    explanation: Explanation


EXPLANATIONS = {
    "start": Explanation(
        _("How to send"),
        _("The server takes mail from programs that sign in over TLS with a credential."),
        NO_MAIL,
        _(
            "Make a credential in the portal and put its user name and secret into your program,"
            " with port 587 and STARTTLS or port 465 and TLS, as your installation names them."
        ),
    ),
    "sign-in": Explanation(
        _("Signing in"),
        _(
            "The server did not accept the sign-in, or the program tried to send without one. After"
            " ten failed attempts in five minutes it takes no more for a while."
        ),
        COUNT,
        _(
            "Copy user name and secret again, without spaces, and choose AUTH PLAIN or LOGIN. If"
            " the secret is lost, make a new credential: it is shown only once. Look in the portal"
            " whether the credential is blocked, and from which networks it may be used. Without a"
            " secret, mail is taken from its networks only, and only from your own verified"
            " domains; where the sender of the envelope is empty and others name the network too,"
            " From shows whose it is. After 454, wait five minutes."
        ),
    ),
    "credential": Explanation(
        _("Credential revoked or blocked"),
        _(
            "While the connection was open, the credential was blocked or revoked, or the networks"
            " that it may be used from were changed."
        ),
        OTHERS,
        _(
            "Look at the credential in the portal: a block can be lifted and networks can be"
            " changed. If it is revoked, make a new one and put it into your program."
        ),
    ),
    "tls": Explanation(
        _("Encryption"),
        _("Passwords and mail are taken only over TLS 1.2 or newer."),
        NO_MAIL,
        _("Turn on STARTTLS or TLS in your program, not both. After 454, try again in a minute."),
    ),
    "domain": Explanation(
        _("Domain not verified"),
        _(
            "The sender of the envelope, From or Sender has a domain that your organisation has not"
            " proven to be its own, or that this credential may not send from."
        ),
        NOTHING,
        _(
            "Add the domain in the portal and publish the record that is shown there, or send from"
            " a domain that is verified already. The credential's page names its domains."
        ),
    ),
    "agreement": Explanation(
        _("No agreement"),
        _("Your organisation may not send, because no agreement with it is in force."),
        NOTHING,
        _(
            "Sign in to the portal: an owner sees there what is missing. Then send again. Until"
            " then a sandbox credential lets you try everything."
        ),
    ),
    "sandbox": Explanation(
        _("Sandbox"),
        _(
            "The program signed in with a sandbox credential. Its mail is checked, encrypted,"
            " queued and logged like any other, but no mail server is asked and nobody receives it."
            " A recipient whose address ends in “+bounce” before the at-sign is refused, one that"
            " ends in “+defer” is put off once."
        ),
        _("What the log keeps of any mail. The content is destroyed at once."),
        _("Nothing. To send for real, use a live credential."),
    ),
    "suspended": Explanation(
        _("Sending suspended"),
        _("Sending is stopped for your organisation until a person has looked at it."),
        NOTHING,
        _(
            "Let your program try again later: the refusal is temporary. An owner can ask the"
            " operator for the reason."
        ),
    ),
    "rate": Explanation(
        _("Too fast or too much"),
        _(
            "The credential has used up what it may send in a minute or in a day (UTC). Minutes and"
            " days are those of the clock, so twice as much can pass around the end of one."
        ),
        _(
            "Nothing of this message, or nothing for the recipients that were refused. Those"
            " answered with 250 stay."
        ),
        _(
            "Let your program try again: after a minute for 450, the next day for 452. If it"
            " happens often, raise the credential's limits in the portal."
        ),
    ),
    "suppressed": Explanation(
        _("Address that gets no mail"),
        _(
            "The recipient is on your organisation's list of addresses that get no mail: the"
            " address does not exist, or whoever has it wants no mail from you, or somebody of your"
            " organisation put it there."
        ),
        _("Nothing for this recipient. The others of the message are not concerned."),
        _(
            "Take the address out of your own list. If it is on the service's list by mistake,"
            " remove it there in the portal, and send again."
        ),
    ),
    "restricted": Explanation(
        _("Address whose use is restricted"),
        _(
            "Somebody has asked that data about them are kept and not used (GDPR article 18), and"
            " your organisation has done so. No mail goes to the address or comes from it until"
            " that is lifted."
        ),
        _("Nothing for this address. Other recipients of the message are not concerned."),
        _(
            "Send it nothing. Whoever answers for data protection in your organisation sees the"
            " restriction in the portal, and lifts it once the person has been told."
        ),
    ),
    "bounces": Explanation(
        _("Too much mail came back"),
        _(
            "Much of the mail that this domain sent within the hour went to addresses that do not"
            " exist. Receivers take that for a bought list, so sending waits until a person has"
            " looked at it. What was accepted before waits as well."
        ),
        NOTHING,
        _(
            "Let your program try again later: the refusal is temporary. The portal shows the"
            " figures, and there you can ask for a person to decide."
        ),
    ),
    "address": Explanation(
        _("Address not valid"),
        _("An address in the envelope is not written as an e-mail address can be written."),
        NOTHING,
        _(
            "Correct the address in your list. An address with letters beyond ASCII needs a program"
            " that knows SMTPUTF8."
        ),
    ),
    "recipients": Explanation(
        _("Too many recipients"),
        _("One message takes a limited number of recipients."),
        _("Nothing for the recipients that were refused. Those answered with 250 stay."),
        _("Send to the others in another message; most programs do so by themselves."),
    ),
    "size": Explanation(
        _("Message too large"),
        _("The message is larger than the server takes. The limit stands in its reply to EHLO."),
        NOTHING,
        _("Make the attachments smaller, or send a link to them."),
    ),
    "header": Explanation(
        _("Header not valid"),
        _(
            "The header of the message cannot be read without doubt: a line that is no field, no"
            " From, a field twice, or too many fields."
        ),
        NOTHING,
        _("Have the program that writes the message corrected; sending it again will not help."),
    ),
    "line": Explanation(
        _("Line ends and characters"),
        _(
            "Lines must end with CR LF and hold no NUL: anything else can be used to smuggle a"
            " second message in. A line may be far longer than a mail program writes by itself, and"
            " is passed on as it came, because folding it would break signatures; but not endless."
        ),
        NOTHING,
        format_lazy(
            _(
                "Have the program write CR LF at the end of each line, and no line of more than"
                " {octets} octets; its mail library can do both."
            ),
            octets=headers.LONGEST_LINE,
        ),
    ),
    "control": Explanation(
        _("Wish in the header"),
        _(
            "A field of the header that begins with RELAY- asks this server for something. Known"
            " are “RELAY-Require-TLS: yes”: the message goes on over TLS only; and “RELAY-Log:”"
            " with minimal, subject or headers: the log holds no more of the message than that. A"
            " message can ask for more protection than its organisation has chosen, never for"
            " less. Fields that are not known are taken out, and so are those that are."
        ),
        NOTHING,
        _("Write the field as it stands here, or leave it out."),
    ),
    "loop": Explanation(
        _("Mail loop"),
        _(
            "The message has passed thirty servers, or this one again and again: two of them send"
            " it back and forth."
        ),
        NOTHING,
        _("Look for a forwarding or an answering machine that leads back to itself."),
    ),
    "syntax": Explanation(
        _("Command not understood"),
        _("The program sent a command or a parameter that is not known, not offered or not valid."),
        OTHERS,
        _("Have the program corrected or brought up to date; trying again will not help."),
    ),
    "order": Explanation(
        _("Wrong order"),
        _(
            "A command came before the one that it needs, or too many came without a message that"
            " was taken: wrong ones, ones that send nothing, or recipients that were refused."
        ),
        OTHERS,
        _(
            "Use a mail library rather than commands of your own: EHLO, AUTH, MAIL, RCPT, DATA."
            " Take recipients that are refused off your list."
        ),
    ),
    "timeout": Explanation(
        _("Waited too long"),
        _(
            "The program said nothing or did not sign in for too long, or the message arrived too"
            " slowly."
        ),
        OTHERS,
        _("Connect again. If it happens often, look at the network between you and the server."),
    ),
    "reconnect": Explanation(
        _("Connect again"),
        _(
            "The server is being restarted, or the connection was open for as long, or had as many"
            " messages, as one connection may. The reply to EHLO names how many."
        ),
        OTHERS,
        _("Connect again at once; most programs do so by themselves."),
    ),
    "busy": Explanation(
        _("Too much at once"),
        _(
            "There are more connections or messages just now than the server can hold, or than it"
            " holds for one organisation."
        ),
        OTHERS,
        _("Let your program try again in a minute, and send several messages per connection."),
    ),
    "failure": Explanation(
        _("A fault on our side"),
        _("The server could not store the message, so it did not take it."),
        NOTHING,
        _(
            "Nothing is wrong with your message. Let your program try again in a minute; if it goes"
            " on, tell the operator."
        ),
    ),
}


def topics() -> tuple[Topic, ...]:
    """Return the sections of the help page, in the order of EXPLANATIONS."""
    replies = [value for value in vars(answers).values() if isinstance(value, Answer)]
    return tuple(
        Topic(anchor, tuple(reply for reply in replies if reply.anchor == anchor), explanation)
        for anchor, explanation in EXPLANATIONS.items()
    )
