from __future__ import annotations

import subprocess
import sys
from datetime import date
from io import BytesIO

import pytest
from PIL import Image

from tests.mail.reports import HOSTILE, MONTH, WORKLOADS, figures
from trailkeeper.mail.chart import HEIGHT, WIDTH, described, draw, stack
from trailkeeper.mail.statement import Kind
from trailkeeper.model.report import Figures

GAP_COLOUR = (0xF9, 0xDE, 0xDE)


def _image(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png)).convert("RGB")


def _has(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    counts = image.getcolors(maxcolors=1 << 24) or []
    return any(seen == colour for _, seen in counts)


def test_chart_has_two_pixels_for_one() -> None:
    """The PNG is twice as wide and high as the mail shows it."""
    assert _image(draw(figures(), MONTH, "Europe/Berlin", {})).size == (2 * WIDTH, 2 * HEIGHT)


def test_twelve_workloads_become_eight_and_other() -> None:
    """The largest eight are layers, the rest is summed, and no record is lost."""
    layers = stack(figures(), MONTH)
    assert [layer.name for layer in layers] == [*WORKLOADS[:8], "other"]
    assert all(len(layer.counts) == 31 for layer in layers)
    assert sum(sum(layer.counts) for layer in layers) == figures().records


def test_day_with_a_gap_is_marked_and_the_legend_says_so() -> None:
    """The mark's colour appears with a gap, in a month without records too, and not without."""
    gap = {date(2026, 10, 14): Kind.GAP}
    assert _has(_image(draw(figures(), MONTH, "Europe/Berlin", gap)), GAP_COLOUR)
    assert _has(_image(draw(Figures(0), MONTH, "Europe/Berlin", gap)), GAP_COLOUR)
    assert not _has(_image(draw(figures(), MONTH, "Europe/Berlin", {})), GAP_COLOUR)


def test_same_figures_give_the_same_bytes() -> None:
    """Nothing of the clock or of chance is in the picture, in a second process neither."""
    here = draw(figures(), MONTH, "Europe/Berlin", {date(2026, 10, 3): Kind.SUSPECT})
    code = (
        "import sys; from datetime import date; from tests.mail.reports import *;"
        "from trailkeeper.mail.chart import draw; from trailkeeper.mail.statement import Kind;"
        "sys.stdout.buffer.write(draw(figures(), MONTH, 'Europe/Berlin', "
        "{date(2026, 10, 3): Kind.SUSPECT}))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert there == here


@pytest.mark.filterwarnings("error")
def test_hostile_workload_names_are_drawn_as_text() -> None:
    """Formulas, scripts the font lacks and leading underscores neither fail nor warn."""
    assert draw(figures(workloads=HOSTILE), MONTH, "Europe/Berlin", {})


def test_description_tells_what_the_picture_shows() -> None:
    """Whoever cannot see the chart reads workloads, the busiest day and the marked days."""
    text = described(figures(), MONTH, {date(2026, 10, 14): Kind.GAP})
    assert "SharePoint, Exchange" in text
    assert "Busiest day: 1 Oct 2026 with 3,1" in text
    assert "1 day marked as not fully covered." in text
    assert described(Figures(0), MONTH, {}).endswith("there are none.")


def test_importing_the_chart_does_not_import_matplotlib() -> None:
    """matplotlib's font list starts a program and a thread; that waits for the first chart."""
    code = "import sys, trailkeeper.mail.render; print('matplotlib' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert out.stdout.strip() == "False"
