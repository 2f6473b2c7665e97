# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests of people whom customers' mail is about: asked by a form, proven by a mailed link,
passed on to the customers concerned. Nothing here tells whether an address is known.
"""
