# SPDX-License-Identifier: AGPL-3.0-or-later
"""The world outside as the tests need it: SMTP servers, DNS, certificates, faulty lines."""

from __future__ import annotations
