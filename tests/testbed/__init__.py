# SPDX-License-Identifier: AGPL-3.0-or-later
"""The world outside as the tests need it: scripted SMTP servers, DNS and certificates."""

from __future__ import annotations
