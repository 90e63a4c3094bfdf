"""Formats with one defect each."""

import json
from pathlib import Path
from typing import ClassVar

from safetensors.torch import load_file, save_file

from fokker.component import component
from fokker.errors import RunError
from fokker.format import Format
from fokker.network import Published

KEPT = ("perturbation", "network", "label", "parameterization")


@component
class Folder(Format):
    """A folder with the tensors and the tables of the plan."""

    writes: ClassVar[bool] = True

    def recognises(self, place: Path) -> bool:
        return (place / "plan.json").is_file()

    def read(self, place, registry):
        try:
            tables = json.loads((place / "plan.json").read_text())
            return Published(load_file(place / "w.safetensors"), {kind: tables[kind] for kind in KEPT})
        except Exception as error:
            raise RunError(f"{place} cannot be read: {type(error).__name__}.") from None

    def write(self, place, registry, plan, spec, weights):
        place.mkdir(exist_ok=True)
        (place / "plan.json").write_text(json.dumps(plan.table(registry)))
        save_file(dict(weights), place / "w.safetensors")


@component
class Greedy(Folder):
    """Takes every folder for its own."""

    def recognises(self, place):
        return place.is_dir()


@component
class Shy(Folder):
    """Looks for a file of another name than it writes."""

    def recognises(self, place):
        return (place / "plan.toml").is_file()


@component
class Halved(Folder):
    """Stores tensors in half the precision."""

    def write(self, place, registry, plan, spec, weights):
        super().write(place, registry, plan, spec, {name: value.half().float() for name, value in weights.items()})


@component
class Trusting(Folder):
    """Takes the files to be whole."""

    def read(self, place, registry):
        tables = json.loads((place / "plan.json").read_text())
        return Published(load_file(place / "w.safetensors"), {kind: tables[kind] for kind in KEPT})


MUTANTS = {
    "takes every folder for its own": (Folder(), Greedy(), "passes-over"),
    "does not know what it has written": (Folder(), Shy(), "recognises-its-own"),
    "loses digits": (Folder(), Halved(), "reads-back"),
    "stumbles over a damaged file": (Folder(), Trusting(), "damaged"),
}
