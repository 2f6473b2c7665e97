# SPDX-License-Identifier: AGPL-3.0-or-later
"""Children of gdpr.bounded out of a process that has loaded their libraries already.

Loading is most of what a small document costs. The limits, the program and its order are the same;
tests/gdpr/test_documents.py starts children as in life.
"""

from __future__ import annotations
