"""Pictures of the paths: a rule's own beside SGD's and Adam's, on the contours of both test functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np

from optgen.docs.paths import FUNCTIONS, STEPS, TakenPath, TestFunction

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend has to be chosen first
from matplotlib.axes import Axes

_COLOURS = ("#d62728", "#1f77b4", "#7f7f7f")


def draw(paths: Mapping[str, Mapping[str, TakenPath]], output: Path) -> None:
    """Write one picture.

    Args:
        paths: for each test function, the paths by label, the most important first.
        output: the PNG file.
    """
    figure, axes = pyplot.subplots(1, len(FUNCTIONS), figsize=(9, 3.6), layout="constrained")
    for axis, function in zip(axes, FUNCTIONS, strict=True):
        _contours(axis, function)
        taken = list(paths[function.name].items())
        # The first lies on top.
        for colour, (label, path) in reversed(list(zip(_COLOURS, taken, strict=False))):
            size = "" if path.step_size is None else f", {path.step_size:g}"
            axis.plot(*path.points.T, color=colour, linewidth=1.3, marker=".", markersize=2.5, label=f"{label}{size}")
        axis.plot(*function.start, "ko", markersize=4)
        axis.plot(*function.minimum, "k*", markersize=9)
        axis.set(xlim=function.window[:2], ylim=function.window[2:], title=f"{function.name}, {STEPS} steps")
        axis.legend(fontsize=7, loc="lower right")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=80, metadata={"Software": None})
    pyplot.close(figure)


def _contours(axis: Axes, function: TestFunction) -> None:
    left, right, low, high = function.window
    x, y = np.meshgrid(np.linspace(left, right, 120), np.linspace(low, high, 120))
    z = np.vectorize(lambda a, b: function.value(np.array([a, b])))(x, y)
    axis.contour(x, y, z, levels=np.geomspace(max(z.min(), 1e-2), z.max(), 14), colors="0.8", linewidths=0.6)
