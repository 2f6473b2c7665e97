# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about sending; each module has those of one page. None needs a script."""
