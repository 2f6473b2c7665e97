# SPDX-License-Identifier: AGPL-3.0-or-later
"""The child process that sets a document: WeasyPrint, and what PDF/A-3a and PDF/UA-1 want besides.

Started by `gdpr.documents` with limits on time and memory; knows no Django, no database, no secret.
"""
