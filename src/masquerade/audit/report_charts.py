"""The report's figures as inline SVG. Colours are the page's, so that they follow its dark and light form."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from masquerade.audit.report_findings import Distribution, Timeline
from masquerade.audit.report_markup import Markup, tag

Axis: TypeAlias = Callable[[float], float]

_WIDTH, _LEFT, _RIGHT = 640, 44, 12  # pixels


def distribution_chart(one: Distribution, threshold: float) -> Markup:
    """Shares of faces by how far they are from what they were, with the two ends where they are recognised."""
    height, top, bottom = 230, 14, 40
    inner = height - top - bottom
    series = [
        ("two", "two people", one.two_people),
        ("one", "one person", one.one_person),
        ("replaced", "a face and its replacement", one.replaced),
    ]
    most = max(max(shares) for _, _, shares in series if shares)

    def x(distance: float) -> float:
        return round(_LEFT + distance / 2 * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(share: float) -> float:
        return round(top + inner * (1 - share / most), 1)

    parts = [_zone(x(0), x(threshold), top, inner), _zone(x(2 - threshold), x(2), top, inner)]
    for share in (most / 2, most):
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y(share), y2=y(share), class_="grid"))
        parts.append(tag("text", f"{100 * share:.0f} %", x=_LEFT - 6, y=y(share) + 4, text_anchor="end"))
    for kind, _, shares in series:
        if shares:
            parts.append(tag("path", d=_stairs(one.edges, shares, x, y), class_=f"stairs {kind}"))
    for at in (0.0, 0.5, 1.0, 1.5, 2.0):
        parts.append(tag("text", f"{at:g}", x=x(at), y=height - bottom + 16, text_anchor="middle"))
    parts.append(tag("text", "cosine distance", x=x(1), y=height - 6, text_anchor="middle"))
    parts.append(tag("text", "found", x=x(0) + 5, y=top + 12, class_="zone-name"))
    parts.append(tag("text", "found by negation", x=x(2) - 5, y=top + 12, text_anchor="end", class_="zone-name"))
    legend = tag(
        "p",
        [tag("span", tag("i", class_=f"key {kind}"), name) for kind, name, shares in reversed(series) if shares],
        class_="legend",
    )
    said = (
        f"Distances of faces to their replacements; a face is found below {threshold:.2f} or above {2 - threshold:.2f}"
    )
    return tag("figure", _svg(parts, height, said), legend)


def timeline_chart(line: Timeline) -> Markup:
    """One person's distances through time, between the two ends where they are recognised."""
    height, top, bottom = 120, 8, 26
    inner = height - top - bottom
    first, last = min(line.times), max(line.times)
    length = max(last - first, 1e-9)

    def x(time: float) -> float:
        share = (time - first) / length if last > first else 0.5
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(distance: float) -> float:
        return round(top + inner * (1 - distance / 2), 1)

    right = _WIDTH - _RIGHT
    parts = [
        tag("rect", x=_LEFT, y=y(line.threshold), width=right - _LEFT, height=y(0) - y(line.threshold), class_="zone"),
        tag("rect", x=_LEFT, y=y(2), width=right - _LEFT, height=y(2 - line.threshold) - y(2), class_="zone"),
    ]
    for at in (0, 1, 2):
        parts.append(tag("text", str(at), x=_LEFT - 6, y=y(at) + 4, text_anchor="end"))
    parts.append(tag("line", x1=_LEFT, x2=right, y1=y(1), y2=y(1), class_="grid"))
    points = " ".join(f"{x(time)},{y(distance)}" for time, distance in zip(line.times, line.distances, strict=True))
    parts.append(tag("polyline", points=points, class_="track"))
    for time, distance in zip(line.times, line.distances, strict=True):
        bad = min(distance, 2 - distance) < line.threshold
        parts.append(tag("circle", cx=x(time), cy=y(distance), r=3, class_="dot bad" if bad else "dot"))
    parts.append(tag("text", f"{first:.1f} s", x=_LEFT, y=height - 6))
    if last > first:
        parts.append(tag("text", f"{last:.1f} s", x=right, y=height - 6, text_anchor="end"))
    return _svg(parts, height, f"Distance of {line.person} to themself before, from {first:.1f} to {last:.1f} seconds")


def _stairs(edges: Sequence[float], shares: Sequence[float], x: Axis, y: Axis) -> str:
    path = [f"M{x(edges[0])},{y(0)}"]
    for left, right, share in zip(edges, edges[1:], shares, strict=False):
        path.append(f"L{x(left)},{y(share)}L{x(right)},{y(share)}")
    return "".join([*path, f"L{x(edges[-1])},{y(0)}Z"])


def _zone(left: float, right: float, top: float, height: float) -> Markup:
    return tag("rect", x=left, y=top, width=round(right - left, 1), height=height, class_="zone")


def _svg(parts: Sequence[Markup], height: int, said: str) -> Markup:
    return tag("svg", tag("title", said), parts, viewBox=f"0 0 {_WIDTH} {height}", role="img", class_="chart")
