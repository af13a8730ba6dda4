"""Records per local day, stacked by workload, as a PNG.

matplotlib is imported when the first chart is drawn: its font list starts a program and a thread,
and nothing here may do that at import. Only the object-oriented interface is used; pyplot keeps
global state and looks for a display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

from trailkeeper.mail.statement import Kind
from trailkeeper.mail.wording import (
    counted,
    day,
    last_day,
    month_name,
    number,
    shown,
)
from trailkeeper.model.report import Figures, Month

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORKLOADS_SHOWN = 8
OTHER = "other"

FILE = "chart.png"
WIDTH, HEIGHT = 600, 380
"""CSS pixels; the file has twice as many each way for dense displays"""

_INCH = 75.0  # CSS pixels to one inch of the figure; 1 point is 1.04 CSS pixels then
_FONT = 10.4

# Paul Tol's "muted" scheme (SRON technical note 09-002, issue 3.2): told apart by all common kinds
# of colour blindness. Ordered so that neighbours in the stack differ in lightness too.
_PALETTE = (
    "#332288",
    "#88CCEE",
    "#117733",
    "#DDCC77",
    "#CC6677",
    "#44AA99",
    "#882255",
    "#999933",
)
_OTHER_COLOUR = "#BBBBBB"
_INK, _QUIET, _GRID = "#1f2933", "#52606d", "#e4e7eb"

_STYLE: Any = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": _FONT,
    "text.color": _INK,
    "text.parse_math": False,  # a workload named "$\\frac" is a name, not a formula
    "text.usetex": False,
    "hatch.linewidth": 0.7,
    "path.simplify": False,
}

_SHADES: dict[Kind, tuple[str, Any]] = {
    Kind.GAP: (
        "Gap in coverage",
        {"facecolor": "#f9dede", "edgecolor": "#b3261e", "hatch": "////"},
    ),
    Kind.SUSPECT: (
        "Suspect: rows may be missing",
        {"facecolor": "#fff3d6", "edgecolor": "#b98900", "hatch": "...."},
    ),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One workload of the stack, a count for each day of the month."""

    name: str
    counts: tuple[int, ...]


def days_of(month: Month) -> list[date]:
    first = date(month.year, month.number, 1)
    return [first + timedelta(days=n) for n in range(last_day(month).day)]


def stack(figures: Figures, month: Month) -> list[Layer]:
    """The largest workloads first, at most `WORKLOADS_SHOWN`, what is left summed as "other"."""
    days = days_of(month)
    table: dict[str, dict[date, int]] = {}
    for count in figures.by_day:
        row = table.setdefault(count.workload, {})
        row[count.day] = row.get(count.day, 0) + count.records
    ranked = sorted(table, key=lambda name: (-sum(table[name].values()), name))
    layers = [
        Layer(name, tuple(table[name].get(d, 0) for d in days)) for name in ranked[:WORKLOADS_SHOWN]
    ]
    rest = ranked[WORKLOADS_SHOWN:]
    if rest:
        layers.append(Layer(OTHER, tuple(sum(table[n].get(d, 0) for n in rest) for d in days)))
    return layers


def described(figures: Figures, month: Month, unproven: Mapping[date, Kind]) -> str:
    """The chart in one or two sentences, for whoever cannot see it."""
    layers = stack(figures, month)
    text = f"Bar chart of records per day in {month_name(month)}"
    if not layers:
        return f"{text}: there are none."
    totals = [sum(column) for column in zip(*(layer.counts for layer in layers), strict=True)]
    busiest = max(range(len(totals)), key=totals.__getitem__)
    names = ", ".join(shown(layer.name, 40) for layer in layers)
    text += f", stacked by workload ({names})."
    text += f" Busiest day: {day(days_of(month)[busiest])} with {number(totals[busiest])}."
    marked = sum(1 for d in days_of(month) if d in unproven)
    if marked:
        text += f" {counted(marked, 'day')} marked as not fully covered."
    return text


def draw(figures: Figures, month: Month, timezone: str, unproven: Mapping[date, Kind]) -> bytes:
    """The chart as PNG bytes; the same arguments give the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever style file this machine has
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(
            figsize=(WIDTH / _INCH, HEIGHT / _INCH), dpi=2 * _INCH, layout="constrained"
        )
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        layers = stack(figures, month)
        days = days_of(month)
        _bars(axes, layers)
        _shade(axes, days, unproven)
        _axes(axes, days, f"Day of {month_name(month)} ({shown(timezone, 40)})")
        if not layers:
            axes.text(0.5, 0.5, "No records", transform=axes.transAxes, ha="center", color=_QUIET)
        _legend(figure, layers, [k for k in Kind if any(unproven.get(d) is k for d in days)])
        return _png(figure)


def _bars(axes: Axes, layers: Sequence[Layer]) -> None:
    for index, layer in enumerate(layers):
        below = [sum(column) for column in zip(*(u.counts for u in layers[:index]), strict=True)]
        axes.bar(
            range(1, len(layer.counts) + 1),
            layer.counts,
            bottom=below or 0,
            width=0.78,
            color=_colour(index, layer),
            edgecolor="white",
            linewidth=0.4,
            zorder=3,
        )


def _colour(index: int, layer: Layer) -> str:
    is_rest = layer.name == OTHER and index == WORKLOADS_SHOWN
    return _OTHER_COLOUR if is_rest else _PALETTE[index]


def _shade(axes: Axes, days: Sequence[date], unproven: Mapping[date, Kind]) -> None:
    """Mark the whole height of a day, behind the bars: an empty day shows its mark best."""
    for position, when in enumerate(days, start=1):
        kind = unproven.get(when)
        if kind is not None:
            axes.axvspan(position - 0.5, position + 0.5, zorder=1, linewidth=0, **_SHADES[kind][1])


def _axes(axes: Axes, days: Sequence[date], label: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0.4, len(days) + 0.6)
    axes.set_xticks([*range(1, len(days) + 1, 3)] if len(days) % 3 else [1, *range(5, 31, 5)])
    axes.set_xlabel(label, color=_QUIET)
    axes.set_ylabel("Records", color=_QUIET)
    axes.set_ylim(bottom=0)
    if axes.get_ylim()[1] < 5:
        axes.set_ylim(0, 5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value))))
    axes.tick_params(colors=_QUIET, length=0)
    axes.grid(axis="y", color=_GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)


def _legend(figure: Figure, layers: Sequence[Layer], kinds: Sequence[Kind]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=_colour(i, layer)) for i, layer in enumerate(layers)]
    labels = [_drawable(layer.name) for layer in layers]
    for kind in kinds:
        label, look = _SHADES[kind]
        handles.append(Patch(linewidth=0.6, **look))
        labels.append(label)
    if handles:
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=4 if max(map(len, labels)) <= 16 else 3,
            frameon=False,
            handlelength=1.1,
            handleheight=1.0,
            columnspacing=1.4,
        )


def _drawable(name: str) -> str:
    """A label for the legend: short, in letters that the font has.

    matplotlib leaves out labels that begin with an underscore; a space before it keeps them in.
    """
    label = "".join(c if ord(c) < 0x530 else "?" for c in shown(name, 24).replace("…", "..."))
    return f" {label}" if label.startswith("_") else label


def _png(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", facecolor="white", metadata={"Software": None})
    return out.getvalue()
