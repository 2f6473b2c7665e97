# SPDX-License-Identifier: AGPL-3.0-or-later
"""Taking over what a person brings along from another installation, after showing what that does.

The file is a stranger's until it is read: a child process with bounds on time and memory unpacks
it, and knows no Django and no secret.
"""
