# SPDX-License-Identifier: AGPL-3.0-or-later
"""The real service in a directory of its own, for benchmarks and crash tests.

Engines on disk with durable settings, the processes of the Procfile, one organisation that sends.
"""

from __future__ import annotations
