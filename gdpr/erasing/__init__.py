# SPDX-License-Identifier: AGPL-3.0-or-later
"""How an erasure is carried out: plan, erasers, steps, certificate, and again after a restore."""
