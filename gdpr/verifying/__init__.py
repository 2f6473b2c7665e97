# SPDX-License-Identifier: AGPL-3.0-or-later
"""The child process that reads a signed document of anybody, and what it finds.

Started by `gdpr.seals.verify` with limits on time and memory; knows no Django and no secret.
"""
