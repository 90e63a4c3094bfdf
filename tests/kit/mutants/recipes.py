"""Recipes with one defect each."""

import atexit
import shutil
import tempfile
from pathlib import Path

import torch

from fokker import component
from fokker.plugins.host import load_plugins
from fokker.testing.recipes import Recipe
from fokker_networks.mlp import MLP

FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER)

SOUND = """# A tiny model of the swiss roll.
data = "swiss-roll:n=100"

[network]
name = "mlp"
width = 16

[train]
steps = 10

[sample]
sampler = "ddim"
"""


@component
class Exploding(MLP):
    """Weights that are too large from the start."""

    def build(self, spec):
        module = super().build(spec)
        if next(module.parameters()).device.type != "meta":
            with torch.no_grad():
                for p in module.parameters():
                    p.fill_(1e30)
        return module


REGISTRY = load_plugins().registry
REGISTRY.network("exploding", Exploding)


@component
class Forgetful(MLP):
    """Is equal to nothing that it is read back as."""

    def __eq__(self, other):
        return self is other

    __hash__ = None


REGISTRY.network("forgetful", Forgetful)


def recipe(name, *changes):
    text = SOUND
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = FOLDER / f"{name}.toml"
    path.write_text(text)
    return Recipe(str(path), REGISTRY)


MUTANTS = {
    "does not say what it is": (
        recipe("sound"),
        recipe("mute", ("# A tiny model of the swiss roll.\n", "")),
        "says-what-it-is",
    ),
    "misspells a setting": (recipe("sound"), recipe("misspelt", ("steps = 10", "step = 10")), "resolves"),
    "wants a class of data that has none": (
        recipe("sound"),
        recipe("labels", ("steps = 10", "steps = 10\nlabels = true")),
        "no-problems",
    ),
    "tells levels of a perturbation without any": (
        recipe("sound"),
        recipe("levels", ("[network]", 'label = "index"\n\n[network]')),
        "no-problems",
    ),
    "has a network that explodes": (recipe("sound"), recipe("exploding", ('"mlp"', '"exploding"')), "trains"),
    "is not what it was once it was stored": (recipe("sound"), recipe("forgetful", ('"mlp"', '"forgetful"')), "stored"),
}
