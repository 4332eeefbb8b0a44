"""The picture of ``fedkd data describe``: the long tail and the lengths of histories."""

from pathlib import Path

import numpy as np

from fedkd.data.describe import Description
from fedkd.report.plots import COLOURS, drawing, save

COLOUR = COLOURS["student"][0]


def draw(description: Description, path: Path) -> None:
    """Draw the long tail and the lengths of histories into a file; its ending (.svg, .png) is the format.

    Raises
    ------
    UserError
        The file cannot be written, or its ending names no known format.
    """
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    ranks, lengths = np.arange(1, description.items + 1), description.history_lengths
    with drawing(700, 280) as figure:
        tail, histories = figure.subplots(1, 2)
        tail.plot(ranks, description.popularity, color=COLOUR)
        tail.fill_between(ranks, description.popularity, color=COLOUR, alpha=0.15)
        tail.set(title="Long tail", xlabel="items, most popular first", ylabel="interactions")
        tail.set(xlim=(1, None), ylim=(0, None))
        edges = np.geomspace(max(1, lengths.min()), lengths.max() + 1, 31)
        histories.hist(lengths, bins=edges.tolist(), color=COLOUR)
        histories.set(title="History lengths", xlabel="interactions of a user", ylabel="users", xscale="log")
        marks, text = LogLocator(subs=(1, 2, 5)), ScalarFormatter()
        histories.xaxis.set(major_locator=marks, minor_locator=NullLocator(), major_formatter=text)
    save(figure, path)
