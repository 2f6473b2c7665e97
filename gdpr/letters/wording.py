# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of every kind of letter, and what the law demands of each. A lawyer can read this.

What stands as %(name)s is filled in; a letter in which a place stays empty does not leave.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.letters.kinds import Block, Kind, Part, Style, Text
from gdpr.letters.phrases import (
    ABOUT,
    ANSWER_THERE,
    COMPLAINT,
    CONTROLLER,
    EVIDENCE,
    GREETING,
    NO_NUMBERS,
    NOT_CONTENT,
    QUESTION,
    REASONS,
    REASONS_IF_ANY,
    REMEDIES,
    SEE_REQUEST,
    TOLD_OTHERS,
)

ALWAYS = frozenset({Part.SUBJECT_MATTER, Part.CONTROLLER})
# Article 12(4), and 12(3) for further time: where no answer is the last word.
OF_COMPLAINT = frozenset({Part.AUTHORITY, Part.COURT})
OF_ANSWER = OF_COMPLAINT | {Part.SECOND_LOOK}
OF_ABUSE = frozenset({Part.REASONS, Part.GROUND, Part.EVIDENCE})

ANSWER = _("The answer to your request")
OUTCOME = _("The outcome of the second look")
OUTCOME_NUMBERED = _("The outcome of the second look at request %(first)s")
ANSWER_NUMBERED = _("The answer to your request %(reference)s")


def _note(name: str, title: Text, subject: Text, *body: Block, needs: set[Part]) -> Kind:
    """A letter that says how a request stands and decides nothing."""
    blocks = (GREETING, ABOUT, *body, SEE_REQUEST, CONTROLLER)
    return Kind(name=name, title=title, subject=subject, blocks=blocks, demands=ALWAYS | needs)


def _told(
    name: str, title: Text, subject: Text, *body: Block, needs: set[Part], is_sealed: bool = False
) -> Kind:
    """A letter of which one can complain."""
    blocks = (GREETING, ABOUT, *body, NOT_CONTENT, *COMPLAINT, SEE_REQUEST, CONTROLLER)
    demands = ALWAYS | OF_COMPLAINT | needs
    return Kind(
        name=name,
        title=title,
        subject=subject,
        blocks=blocks,
        demands=demands,
        is_sealed=is_sealed,
    )


def _answer(
    name: str,
    *body: Block,
    needs: frozenset[Part] = frozenset(),
    is_sealed: bool = False,
    title: Text = ANSWER,
    subject: Text = ANSWER_NUMBERED,
) -> Kind:
    """An answer: somebody else can be asked to look at it anew."""
    blocks = (GREETING, ABOUT, *body, NOT_CONTENT, *REMEDIES, SEE_REQUEST, CONTROLLER)
    demands = ALWAYS | OF_ANSWER | needs
    return Kind(
        name=name,
        title=title,
        subject=subject,
        blocks=blocks,
        demands=demands,
        is_sealed=is_sealed,
    )


RECEIVED = _note(
    "received",
    _("We have your request"),
    _("We have your request %(reference)s"),
    Block(
        _("You have our answer by %(day)s, usually much sooner. It costs you nothing."), Part.DAY
    ),
    Block(_("Was it not you? Then sign in and withdraw it, and change your password.")),
    needs={Part.DAY},
)

ASKED = _told(
    "question",
    _("A question about your request"),
    _("A question about your request %(reference)s"),
    Block(_("Before we can answer we need to know:")),
    QUESTION,
    *ANSWER_THERE,
    NO_NUMBERS,
    needs={Part.QUESTION},
)

REMINDER = _told(
    "reminder",
    _("We wait for your answer"),
    _("We wait for your answer about request %(reference)s"),
    Block(_("We have asked you, and wait for your answer:")),
    QUESTION,
    Block(
        _(
            "Answer on the page of the request. If we have not heard from you by %(day)s, we decide"
            " with what we know."
        ),
        Part.DAY,
    ),
    NO_NUMBERS,
    needs={Part.QUESTION, Part.DAY},
)

EXTENDED = _told(
    "extended",
    _("Your request takes longer"),
    _("Your request %(reference)s takes longer"),
    Block(
        _(
            "The answer takes longer than a month. The law allows that where a request is complex"
            " or there are many of them (GDPR article 12(3)). You have it by %(day)s at the"
            " latest. The reasons:"
        ),
        Part.DAY,
    ),
    REASONS,
    needs={Part.REASONS, Part.DAY},
    is_sealed=True,
)

PACKAGE_READY = _answer(
    "package-ready",
    Block(
        _(
            "The package with your data is ready. Fetch it on the page of the request before"
            " %(day)s: then it is destroyed. You are asked once more whether it is you."
        ),
        Part.DAY,
    ),
    needs=frozenset({Part.DAY}),
    title=_("Your data are ready"),
    subject=_("Your data are ready: request %(reference)s"),
)

DONE = _answer("done", Block(_("We have done what you asked for.")), REASONS_IF_ANY, TOLD_OTHERS)

PARTLY_DONE = _answer(
    "partly-done",
    Block(_("We have done a part of what you asked for, and not the rest. The reasons:")),
    REASONS,
    TOLD_OTHERS,
    needs=frozenset({Part.REASONS}),
    is_sealed=True,
)

REFUSED = _answer(
    "refused",
    Block(_("We do not comply with your request. The reasons:")),
    REASONS,
    needs=frozenset({Part.REASONS}),
    is_sealed=True,
)

UNFOUNDED = _answer(
    "unfounded",
    Block(
        _(
            "We do not comply with your request, because it is %(ground)s (GDPR article 12(5)(b))."
            " The reasons:"
        ),
        Part.GROUND,
    ),
    REASONS,
    *EVIDENCE,
    needs=OF_ABUSE,
    is_sealed=True,
)

FEE = _answer(
    "fee",
    Block(
        _(
            "We can comply with your request, but against a fee, because it is %(ground)s (GDPR"
            " article 12(5)(a)). The reasons:"
        ),
        Part.GROUND,
    ),
    REASONS,
    *EVIDENCE,
    Block(
        _(
            "The fee is %(fee)s. It covers what the work costs us, and no more. Nothing is charged"
            " until you agree: write to %(privacy_email)s whether you do. You can also withdraw"
            " the request, which costs nothing. Our time runs on meanwhile."
        ),
        Part.FEE,
    ),
    needs=OF_ABUSE | {Part.FEE},
    is_sealed=True,
    title=_("A fee for your request"),
    subject=_("A fee for your request %(reference)s"),
)

NOT_IDENTIFIABLE = _answer(
    "not-identifiable",
    Block(
        _(
            "We cannot tell which data are about you, so we cannot comply with your request (GDPR"
            " articles 11(2) and 12(2)). The reasons:"
        )
    ),
    REASONS,
    Block(
        _(
            "If you can tell us more, so that we find you, write to %(privacy_email)s: then we take"
            " it up again."
        )
    ),
    needs=frozenset({Part.REASONS}),
    is_sealed=True,
)

WITHDRAWN = _told(
    "withdrawn",
    _("Your request is withdrawn"),
    _("Your request %(reference)s is withdrawn"),
    Block(_("You have withdrawn it, and we do nothing more. You can ask again at any time.")),
    Block(_("Was it not you? Write to %(privacy_email)s: then we take it up again.")),
    needs=set(),
)

AGAIN_ASKED = _told(
    "second-look-asked",
    _("We look at our answer again"),
    _("We look at our answer to your request %(first)s again"),
    Block(
        _(
            "You have asked for a second look at our answer to request %(first)s. Somebody who took"
            " no part in it looks at the request anew."
        ),
        Part.FIRST_ANSWER,
    ),
    Block(
        _("You have the outcome by %(day)s. You need not wait for it before you complain."),
        Part.DAY,
    ),
    needs={Part.FIRST_ANSWER, Part.DAY},
)

AGAIN_UPHELD = _told(
    "second-look-upheld",
    OUTCOME,
    OUTCOME_NUMBERED,
    Block(
        _(
            "Somebody who took no part in our answer to request %(first)s has looked at it anew, as"
            " you asked. The answer stands. The reasons:"
        ),
        Part.FIRST_ANSWER,
    ),
    REASONS,
    needs={Part.FIRST_ANSWER, Part.REASONS},
    is_sealed=True,
)

AGAIN_CHANGED = _told(
    "second-look-changed",
    OUTCOME,
    OUTCOME_NUMBERED,
    Block(
        _(
            "Somebody who took no part in our answer to request %(first)s has looked at it anew, as"
            " you asked. The answer is changed. The reasons, and what we have done now:"
        ),
        Part.FIRST_ANSWER,
    ),
    REASONS,
    TOLD_OTHERS,
    needs={Part.FIRST_ANSWER, Part.REASONS},
    is_sealed=True,
)

LIFTING = Kind(
    name="lifting",
    title=_("A restriction ends"),
    subject=_("The restriction of your account ends on %(day)s"),
    blocks=(
        GREETING,
        Block(
            _(
                "The use of your account is restricted because %(ground)s. That ends on %(day)s,"
                " and from then on the data are used again as before (GDPR article 18(3))."
            ),
            Part.GROUND,
        ),
        Block(
            _(
                "If you do not agree, ask for a restriction again before %(day)s, or write to"
                " %(privacy_email)s."
            ),
            Part.DAY,
        ),
        NOT_CONTENT,
        *COMPLAINT,
        Block(_("Your data and your rights"), style=Style.LINK, leads_to="link"),
        CONTROLLER,
    ),
    demands=OF_COMPLAINT | {Part.CONTROLLER, Part.GROUND, Part.DAY},
)

FAREWELL = (
    Block(_("The certificate"), style=Style.LINK, leads_to="link"),
    Block(
        _(
            "Later, or if the link is lost, write to %(privacy_email)s with the number"
            " %(reference)s."
        )
    ),
    Block(_("Not everything could be deleted. This is kept, and why:"), only_with="reasons"),
)
# Nobody can be written to when it is over, so this says when to look, and where.
REST = (
    Block(
        _(
            "What is kept is deleted by itself when its time is over, without your asking. The"
            " last of it is kept until %(kept_until)s."
        ),
        only_with="kept_until",
    ),
    Block(
        _(
            "What is kept is deleted by itself when its time is over, without your asking. For some"
            " of it that time has not begun, so nobody can say yet on which day the last of it"
            " goes."
        ),
        only_with="not_begun",
    ),
    Block(
        _(
            "When nothing is left, a second sealed certificate says so. You find it by the link"
            " above, for %(link_days)s days from then on. We cannot write to you when it is there,"
            " because your address is deleted now: keep this mail."
        )
    ),
)
ENDING = (
    NOT_CONTENT,
    Block(
        _(
            "You can ask for a second look: write to %(privacy_email)s with that number."
            " Somebody who took no part in it looks at it anew, and it costs nothing."
        ),
        Part.SECOND_LOOK,
    ),
    *COMPLAINT,
    Block(
        _(
            "This is the last mail you get from us. As soon as it is sent, your address is"
            " deleted everywhere except in what the certificate names as kept, in backups or"
            " as the customers' own."
        )
    ),
    CONTROLLER,
)
ERASED = Kind(
    name="erased",
    title=_("Your account is erased"),
    subject=_("Your account is erased"),
    blocks=(
        GREETING,
        Block(
            _(
                "Your account is erased. A sealed certificate says what was deleted, what must be"
                " kept, why and until when. Fetch it here before %(day)s:"
            ),
            Part.DAY,
        ),
        *FAREWELL,
        REASONS_IF_ANY,
        *ENDING,
    ),
    demands=OF_ANSWER | {Part.CONTROLLER, Part.DAY},
)
# Partial is never shown as done: the link lasts until the second certificate is there.
ERASED_IN_PART = Kind(
    name="erased-in-part",
    title=_("Your account is erased, but for what must be kept"),
    subject=_("Your account is erased, but for what must be kept"),
    blocks=(
        GREETING,
        Block(
            _(
                "Your account is erased, but for what must be kept for a time. A sealed"
                " certificate says what was deleted, what is kept, why and until when. Fetch it"
                " here:"
            )
        ),
        *FAREWELL,
        REASONS,
        *REST,
        *ENDING,
    ),
    demands=OF_ANSWER | {Part.CONTROLLER, Part.REASONS},
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        RECEIVED,
        ASKED,
        REMINDER,
        EXTENDED,
        PACKAGE_READY,
        DONE,
        PARTLY_DONE,
        REFUSED,
        UNFOUNDED,
        FEE,
        NOT_IDENTIFIABLE,
        WITHDRAWN,
        AGAIN_ASKED,
        AGAIN_UPHELD,
        AGAIN_CHANGED,
        LIFTING,
        ERASED,
        ERASED_IN_PART,
    )
}
