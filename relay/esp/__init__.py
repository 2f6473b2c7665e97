# SPDX-License-Identifier: AGPL-3.0-or-later
"""E-mail service providers, reached by their HTTP API instead of SMTP, through django-anymail."""

from __future__ import annotations
