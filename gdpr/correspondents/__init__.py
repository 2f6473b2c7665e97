# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation can do about one address in its own mail: find, export, erase, suppress.

It is the controller of that mail (GDPR article 28(3)(e)): it acts at once, and nobody is asked.
"""
