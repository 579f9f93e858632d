"""A comparison as a page to look at and to send: one file that needs nothing else.

`markup` writes elements and escapes all text, `plots` draws, `pages` puts a page together, `writing` stores it.
"""

from __future__ import annotations

from modelrepo.repository.reporting.writing import goal, write

__all__ = ["goal", "write"]
