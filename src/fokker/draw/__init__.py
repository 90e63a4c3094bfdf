"""Pictures of samples, trajectories, trainings and scores.

Every function takes tensors and returns a `Picture`, a PNG file in memory, and saves it where a path is given. Nothing
here keeps state: figures are made without pyplot, and large sets are drawn from as many examples as a picture can show.
"""

from fokker.draw.by_shape import samples, shown
from fokker.draw.curves import loss_curve
from fokker.draw.field import score_field
from fokker.draw.images import image_grid, volume_grid
from fokker.draw.paths import trajectory_frames, trajectory_strip
from fokker.draw.picture import Picture, row
from fokker.draw.points import scatter
from fokker.draw.signals import signal_plot
from fokker.draw.values import value_range
from fokker.draw.vectors import heat_rows, histogram, pair_plot

__all__ = [
    "Picture",
    "heat_rows",
    "histogram",
    "image_grid",
    "loss_curve",
    "pair_plot",
    "row",
    "samples",
    "scatter",
    "score_field",
    "shown",
    "signal_plot",
    "trajectory_frames",
    "trajectory_strip",
    "value_range",
    "volume_grid",
]
