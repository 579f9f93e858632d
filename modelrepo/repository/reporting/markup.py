"""Elements of a page. All text is escaped on its way in: names come from models, and models come from anybody."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is markup already, of `element` and of this package's own constants."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    r"""Write an element.

    Args:
        name: Its name.
        children: Markup as it is, all other text escaped.
        attributes: By name, with `_` for `-` and one more at the end of what Python reserves; None: left out.

    >>> element("td", "a < b", class_="num", colspan=2)
    '<td class="num" colspan="2">a &lt; b</td>'
    >>> element("p", element("b", "x"), "\x1b[31m<script>")
    '<p><b>x</b>\\x1b[31m&lt;script&gt;</p>'
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>{joined(*children)}</{name}>")


def joined(*parts: str) -> Markup:
    """Parts one behind the other: markup as it is, all other text escaped."""
    return Markup("".join(part if isinstance(part, Markup) else _escaped(part) for part in parts))


def _escaped(text: str) -> str:
    """Text that is nothing but text, with everything written out that is not plainly visible."""
    return html.escape("".join(each if each.isprintable() else ascii(each)[1:-1] for each in text), quote=True)
