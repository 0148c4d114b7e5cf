"""HTML and SVG from Python, in which nothing is unescaped by oversight: text is text unless a `tag` made it."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = frozenset({"br", "img", "meta"})


class Markup(str):
    """What needs no escaping any more."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def tag(name: str, *children: Child, **attributes: str | float | None) -> Markup:
    """An element.

    Args:
        name: of the element.
        children: text, which is escaped, elements, or lists of them; None is nothing.
        attributes: values are escaped; an underscore at the end of a name is left out, others become hyphens; None
            leaves the attribute out.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{inside(children)}</{name}>")


def inside(children: Child) -> Markup:
    """Children one after the other, without an element about them."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(escape(str(children)))
    return Markup("".join(inside(child) for child in children))
