# SPDX-License-Identifier: AGPL-3.0-or-later
"""The steps of the demo, in order."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable, Sequence

from config.demo.duties import agree, disclose
from config.demo.mail import arrive, forget, submit
from config.demo.portal import FormMissing, SignInFailed
from config.demo.register import fill_register
from config.demo.steps import Journey, Step, StepFailed

STEPS = (
    Step("A message goes in over SMTP with STARTTLS and AUTH", submit),
    Step("It arrives in the mailbox, byte for byte", arrive),
    Step("Its content is destroyed", forget),
    Step("Staff enter who processes data for the service", fill_register),
    Step("An agreement is signed by the customer and sealed by the service", agree),
    Step("The owner gets a copy of her data", disclose),
)


def travel(journey: Journey, say: Callable[[str], None], steps: Sequence[Step] = STEPS) -> bool:
    """Do the steps in order, each told with its time; stops at the first that does not hold."""
    for number, step in enumerate(steps, start=1):
        begun = time.monotonic()
        try:
            step.act(journey)
        except (StepFailed, FormMissing, SignInFailed, smtplib.SMTPException, OSError) as problem:
            say(f"  {number}. {step.words}: FAILED, {problem}")
            return False
        say(f"  {number}. {step.words}: {time.monotonic() - begun:.2f} s")
    return True
