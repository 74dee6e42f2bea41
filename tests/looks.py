"""What a reader sees of a figure that was drawn: its text, and where that stands."""

from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

# Pixels by which boxes may overlap: they have room for letters that reach lower than those that are there.
CLOSE = 1


def shown(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Every text that is drawn, and its box in pixels; not its arrow."""
    unseen = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in _unseen(axis)}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]
    return [(text, Text.get_window_extent(text)) for text in texts if text not in unseen]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """The pairs of texts that run into each other."""
    boxes = [(text.get_text(), box.padded(-CLOSE)) for text, box in shown(figure)]
    return [(first, second) for (first, box), (second, below) in combinations(boxes, 2) if box.overlaps(below)]


def places(axis: Axis) -> list[float]:
    """Where ticks are drawn."""
    low, high = sorted(axis.get_view_interval())
    return [float(place) for place in axis.get_ticklocs() if low <= place <= high]


def _unseen(axis: Axis) -> list[Text]:
    """The labels of ticks outside of the axis; where no axes are drawn, all of them and the axis's own."""
    ticks = axis.get_major_ticks()
    if not axis.axes.axison:
        return [*(tick.label1 for tick in ticks), axis.label]
    return [tick.label1 for tick in ticks if tick.get_loc() not in places(axis)]
