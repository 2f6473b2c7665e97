# SPDX-License-Identifier: AGPL-3.0-or-later
"""`make storm`: processes and engines are killed while mail flows, and then three ledgers compared.

The client's (what was answered 250), the service's (its database) and the far end's (files). The
far end's is the judge: what was accepted must lie there, once, unaltered, and nothing else.
"""

from __future__ import annotations
