# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock
from accounts.refusals import Refused
from dpa import checking
from dpa.words import finding, verdict


class Command(BaseCommand):
    help = (
        "Say who signed a PDF, what changed since, and whether it is a document on file; exit 1"
        " unless it is one that both parties have signed, or a certificate of erasure."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            judgement = checking.judge(file.read_bytes(), clock.now())
        except OSError as problem:
            raise CommandError(f"{file}: {problem.strerror}") from problem
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        answer = verdict(judgement)
        self.stdout.write(f"{answer.words} {answer.why}")
        self.stdout.write(f"sha256 {judgement.verification.sha256}")
        for found in map(finding, judgement.verification.signatures):
            self.stdout.write(f"{found.title}: {found.signature.signer}")
            self.stdout.writelines(f"  {sentence}" for sentence in found.sentences)
        if not (judgement.genuine or judgement.certified):
            raise CommandError("neither an agreement on file, signed by both, nor a certificate")
