"""Small charts as SVG, drawn here: no script, no style attribute, readable aloud.

The drawing is stretched to its card; so the words of the axis stand beside it, as text that is not. Whoever
points at a stretch of time is told its values by the browser itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 480, 102, 6, 100
_STRIP = 10
_STEPS = (1, 2, 5, 10)
_WHOLE_STEPS = (1, 2, 4, 6, 8, 10)  # of counts: their middle is shown, too


@dataclass(frozen=True, slots=True)
class Line:
    """One series: values per stretch of time, None where there is nothing to tell.

    Attributes:
        css: class that gives the colour.
    """

    css: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, and the numbers at the top and in the middle of its axis."""

    svg: Markup
    top: float

    @property
    def ticks(self) -> tuple[str, str, str]:
        """From above."""
        return f"{self.top:g}", f"{self.top / 2:g}", "0"


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    bars: bool,
    most: float = 0,
    limit: float = 0,
    notes: Sequence[str] = (),
) -> Drawing:
    """Bars stacked on each other, or lines.

    Args:
        title: what it says to whoever cannot see it.
        lines: the series, all of one length.
        bars: whether they are bars, of counts.
        most: the least top of the scale.
        limit: where a rule goes across; 0 for none.
        notes: what to say of each stretch to whoever points at it; an empty one says nothing.
    """
    top = scale(max([most, limit, *_tops(lines, bars)]), whole=bars)
    drawn = _bars(lines, top) if bars else [_line(line, top) for line in lines]
    rule = ""
    if limit:
        y = _y(limit, top)
        rule = f'<line class="limit" x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>' for y in (_TOP, (_TOP + _BOTTOM) // 2)
    )
    width = _WIDTH / max(1, len(notes))
    told = "".join(
        f'<rect class="told" x="{n * width:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}">'
        f"<title>{escape(note)}</title></rect>"
        for n, note in enumerate(notes)
        if note
    )
    # Only numbers of ours and classes of ours stand between the escaped words.
    svg = Markup(  # noqa: S704
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" preserveAspectRatio="none" data-top="{top:g}">'
        f"<title>{escape(title)}</title>{grid}{''.join(drawn)}{rule}"
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>{told}</svg>'
    )
    return Drawing(svg, top)


def scale(most: float, *, whole: bool = False) -> float:
    """A round number that is no less; where ``whole``, one whose half is a whole number, too."""
    if whole:
        most = max(most, 2)
    if most <= 0:
        return 1
    power = 10.0 ** (len(str(int(most))) - 1) if most >= 1 else 0.1
    tops: list[float] = [step * power for step in (*(_WHOLE_STEPS if whole else _STEPS), 100)]
    return next(top for top in tops if top >= most and not (whole and top % 2))


def strip(label: str, spans: Sequence[tuple[float, float, str]]) -> Markup:
    """A bar of time on which some spans are marked.

    Args:
        label: what it says to whoever cannot see it.
        spans: begin and end as shares of the whole, and what to say to whoever points there.
    """
    marks = "".join(
        f'<rect class="bad" x="{_WIDTH * early:.1f}" y="0" width="{max(2.0, _WIDTH * (late - early)):.1f}"'
        f' height="{_STRIP}"><title>{escape(words)}</title></rect>'
        for early, late, words in spans
    )
    return Markup(  # noqa: S704 -- as above
        f'<svg class="strip" viewBox="0 0 {_WIDTH} {_STRIP}" role="img" preserveAspectRatio="none">'
        f'<title>{escape(label)}</title><rect class="calm" width="{_WIDTH}" height="{_STRIP}"/>{marks}</svg>'
    )


def _tops(lines: Sequence[Line], bars: bool) -> list[float]:
    if not bars:
        return [value for line in lines for value in line.values if value is not None]
    return [sum(value or 0 for value in column) for column in zip(*(x.values for x in lines), strict=True)]


def _y(value: float, top: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * min(value / top, 1)


def _bars(lines: Sequence[Line], top: float) -> list[str]:
    count = len(lines[0].values)
    width = _WIDTH / count
    drawn = []
    for n in range(count):
        base = 0.0
        for line in lines:
            value = line.values[n] or 0
            if value:
                y, height = _y(base + value, top), _y(base, top) - _y(base + value, top)
                left = n * width + width * 0.1
                place = f'x="{left:.1f}" y="{y:.1f}" width="{width * 0.8:.1f}"'
                drawn.append(f'<rect class="{line.css}" {place} height="{height:.1f}"/>')
                base += value
    return drawn


def _line(line: Line, top: float) -> str:
    """A path that is interrupted where nothing is known; a lone value is a short dash."""
    width = _WIDTH / len(line.values)
    path, pen_down = "", False
    for n, value in enumerate(line.values):
        if value is None:
            pen_down = False
            continue
        x, y = (n + 0.5) * width, _y(value, top)
        path += f"L{x:.1f} {y:.1f}" if pen_down else f"M{max(0.0, x - 3):.1f} {y:.1f}L{x + 1:.1f} {y:.1f}"
        pen_down = True
    return f'<path class="{line.css}" d="{path}"/>' if path else ""
