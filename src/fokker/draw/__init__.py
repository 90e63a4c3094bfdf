"""Pictures of samples, trajectories, trainings and scores.

Every function takes tensors and returns a `Picture`, a PNG file in memory, or an `Animation`, a GIF file, and saves it
where a path is given. Nothing
here keeps state: figures are made without pyplot, and large sets are drawn from as many examples as a picture can show.
"""

from fokker.draw.animation import Animation, animation, film
from fokker.draw.by_shape import samples, shown
from fokker.draw.curves import loss_curve
from fokker.draw.field import score_field, score_fields
from fokker.draw.images import image_grid, volume_grid
from fokker.draw.level_curve import level_losses
from fokker.draw.marginals import coordinate_marginals, plane_marginals
from fokker.draw.pareto import Curve, Panel, pareto
from fokker.draw.paths import trajectory_frames, trajectory_strip
from fokker.draw.picture import Picture, row
from fokker.draw.planes import plane_histogram
from fokker.draw.points import scatter
from fokker.draw.signals import signal_plot
from fokker.draw.steps import step_arrows
from fokker.draw.values import value_range
from fokker.draw.vectors import heat_rows, histogram, pair_plot

__all__ = [
    "Animation",
    "Curve",
    "Panel",
    "Picture",
    "animation",
    "coordinate_marginals",
    "film",
    "heat_rows",
    "histogram",
    "image_grid",
    "level_losses",
    "loss_curve",
    "pair_plot",
    "pareto",
    "plane_histogram",
    "plane_marginals",
    "row",
    "samples",
    "scatter",
    "score_field",
    "score_fields",
    "shown",
    "signal_plot",
    "step_arrows",
    "trajectory_frames",
    "trajectory_strip",
    "value_range",
    "volume_grid",
]
