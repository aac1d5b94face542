"""Plots the remaining lifetimes of the tokens over time, with the faults below, as SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.chaos.records import Fault, Lane, Sample

_LEFT, _RIGHT, _TOP = 170.0, 20.0, 60.0
_CHART, _LANE, _AXIS = 260.0, 20.0, 40.0
_WIDEST, _PER_SECOND = 4000.0, 2.0
_NARROWEST = 1000.0
_BLOCKING, _FOR_SOME, _HARMLESS = "#d1495b", "#e9a6ae", "#edae49"
_LEAST, _MEDIAN = "#00798c", "#9fc9d1"
_THINNEST = 2.0
_SHORT = 180.0  # seconds; a longer run has an axis in minutes
_END, _MIDDLE_ANCHOR = "text-anchor='end'", "text-anchor='middle'"
_LEGEND = (
    f"remaining lifetime: <tspan fill='{_LEAST}'>minimum</tspan>, "
    f"<tspan fill='{_MEDIAN}'>median</tspan>; "
    f"faults: <tspan fill='{_BLOCKING}'>no exchange possible</tspan>, "
    f"<tspan fill='{_FOR_SOME}'>not for some resources</tspan>, "
    f"<tspan fill='{_HARMLESS}'>other</tspan>"
)
_FONT = "font-family='sans-serif' font-size='12'"


def svg(
    samples: Sequence[Sample], faults: Sequence[Fault], lifetime: float, margin: float, title: str
) -> str:
    """Return the plot as an SVG document."""
    seconds = max([1.0, *(sample.at for sample in samples), *(fault.ended for fault in faults)])
    width = min(max(seconds * _PER_SECOND, _NARROWEST), _WIDEST)
    height = _TOP + _CHART + _AXIS + _LANE * len(Lane) + 20

    def x(at: float) -> float:
        return _LEFT + at / seconds * width

    def y(left: float) -> float:
        return _TOP + _CHART * (1 - max(0.0, left) / lifetime)

    def label(left: float, top: float, text: str, more: str = "") -> str:
        return f"<text x='{left:.1f}' y='{top:.1f}' {more}>{text}</text>"

    def axis(left: float) -> str:
        colour = _BLOCKING if left == 0 else "#ddd"
        ends = f"x1='{x(0)}' x2='{x(seconds):.1f}' y1='{y(left):.1f}' y2='{y(left):.1f}'"
        return f"<line {ends} stroke='{colour}'/>" + label(x(0) - 8, y(left) + 4, f"{left} s", _END)

    parts = [
        label(x(0), 20, escape(title), "font-size='15'"),
        label(x(0), 40, _LEGEND),
        _box(x(0), y(margin), width, y(0) - y(margin), "#f4f4f4"),
        label(x(0) + 4, y(margin) + 14, "margin", "fill='#888'"),
        *(axis(left) for left in range(0, int(lifetime) + 1, 15)),
    ]
    step, unit, name = (10, 1, "s") if seconds <= _SHORT else (60, 60, "min")
    parts += [
        label(x(at), _TOP + _CHART + 18, f"{at // unit} {name}", _MIDDLE_ANCHOR)
        for at in range(0, int(seconds) + 1, step)
    ]
    middles = [(x(one.at), y(one.median)) for one in samples if one.median is not None]
    leasts = [(x(one.at), y(one.minimum)) for one in samples if one.minimum is not None]
    parts += [_line(middles, _MEDIAN), _line(leasts, _LEAST)]
    for number, lane in enumerate(Lane):
        top = _TOP + _CHART + _AXIS + _LANE * number
        parts.append(label(x(0) - 8, top + 13, lane, _END))
        for fault in faults:
            if fault.kind.lane is lane:
                length = max(x(fault.ended) - x(fault.began), _THINNEST)
                place = x(fault.began), top, length, _LANE - 4
                parts.append(_box(*place, _colour(fault), _tip(fault)))
    size = f"width='{_LEFT + width + _RIGHT:.0f}' height='{height:.0f}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>"
    return "\n".join(
        [head, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>", ""]
    )


def _box(left: float, top: float, width: float, height: float, colour: str, tip: str = "") -> str:
    place = f"x='{left:.1f}' y='{top:.1f}' width='{width:.1f}' height='{height:.1f}'"
    return f"<rect {place} fill='{colour}'><title>{escape(tip)}</title></rect>"


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    text = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    return f"<polyline points='{text}' fill='none' stroke='{colour}' stroke-width='1.5'/>"


def _colour(fault: Fault) -> str:
    if not fault.kind.blocks:
        return _HARMLESS
    return _BLOCKING if fault.affects is None else _FOR_SOME


def _tip(fault: Fault) -> str:
    note = f" ({fault.note})" if fault.note else ""
    return f"{fault.kind.name}{note}, {fault.began:.0f} to {fault.ended:.0f} s"
