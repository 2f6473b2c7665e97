# SPDX-License-Identifier: AGPL-3.0-or-later
"""What letters have in common: how they begin, the ways to be heard, who writes."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from gdpr.letters.kinds import Block, Part, Style

GREETING = Block(_("Dear %(name)s,"))
ABOUT = Block(
    _(
        "We received your request %(reference)s under the General Data Protection Regulation (GDPR)"
        " on %(received)s. It is about: %(right)s."
    ),
    Part.SUBJECT_MATTER,
)
SEE_REQUEST = Block(_("See the request"), style=Style.LINK, leads_to="link")
CONTROLLER = Block(
    _(
        "%(operator)s, %(operator_address)s, %(operator_postcode)s %(operator_city)s, company"
        " number %(company_number)s. About personal data: %(contact)s, %(privacy_email)s."
    ),
    Part.CONTROLLER,
)

REASONS = Block("%(reasons)s", Part.REASONS, Style.QUOTE)
REASONS_IF_ANY = Block("%(reasons)s", style=Style.QUOTE, only_with="reasons")
EVIDENCE = (
    Block(_("This is what shows it:")),
    Block("%(evidence)s", Part.EVIDENCE, Style.QUOTE),
)
QUESTION = Block("%(question)s", Part.QUESTION, Style.QUOTE)
ANSWER_THERE = (
    Block(
        _("Answer on the page of the request. Our time stands still until we have heard from you."),
        only_with="stands_still",
    ),
    Block(
        _("Answer on the page of the request. Our time runs on meanwhile."),
        only_with="runs_on",
    ),
)
NO_NUMBERS = Block(
    _("Never send us a civil registration number or a copy of a passport: we do not need them.")
)
TOLD_OTHERS = Block(
    _(
        "We tell everybody to whom we have given the data, unless that is impossible or takes"
        " disproportionate effort (GDPR article 19). Ask us who they are, and you are told."
    ),
    only_with="tells_others",
)

NOT_CONTENT = Block(_("If you are not content"), style=Style.HEADING)
COMPLAINT = (
    Block(
        _(
            "You can complain to the supervisory authority: %(authority)s, %(authority_address)s,"
            " %(authority_site)s (GDPR article 77)."
        ),
        Part.AUTHORITY,
    ),
    Block(
        _("You can also bring the matter before the courts (GDPR article 79)."),
        Part.COURT,
    ),
)
REMEDIES = (
    Block(
        _(
            "You can ask for a second look: somebody who took no part in this answer looks at"
            " your request anew. It costs nothing. Ask on the page of the request, or write to"
            " %(privacy_email)s."
        ),
        Part.SECOND_LOOK,
    ),
    Block(
        _("Ask for a second look"), Part.SECOND_LOOK, style=Style.LINK, leads_to="second_look_link"
    ),
    *COMPLAINT,
)
