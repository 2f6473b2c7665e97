# SPDX-License-Identifier: AGPL-3.0-or-later
"""Letters to people about their requests: none leaves without what the law wants in it.

`wording` has the words of each kind, `facts` what is filled in, `filling` puts both together or
refuses, `drafts` gives the result as text, HTML and sealed PDF and sends it, `writing` is what the
acts call, one function for each kind.
"""
