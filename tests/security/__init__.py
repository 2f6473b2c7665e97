# SPDX-License-Identifier: AGPL-3.0-or-later
"""What cuts across the apps: inputs that are meant to harm."""
