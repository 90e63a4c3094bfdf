"""What every Format should do.

A small plan is written and read again: what its `example` says, else a network of points with fresh weights.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError, FokkerError
from fokker.format import Format
from fokker.network import DataSpec, Published
from fokker.plan import Plan, resolve, spec_of
from fokker.plugins.host import load_plugins
from fokker.plugins.registry import one_line
from fokker.testing.check import CheckFailed, NotApplicable, Suite, expect
from fokker.testing.compare import close
from fokker.testing.worlds import normal

__all__ = ["suite"]

_POINTS: Mapping[str, Any] = {"data": "swiss-roll:n=8", "network": "mlp:width=8,depth=1"}


def _observe(format: Format) -> list[Any]:
    with TemporaryDirectory() as folder:
        if not format.writes:
            return [format.recognises(Path(folder))]
        try:
            place = _written(format, Path(folder))[0]
            found = format.read(place, load_plugins().registry)
        except FokkerError as error:
            return [error]
        size = sum(each.stat().st_size for each in (place, *place.rglob("*")) if each.is_file())
        return [size, *found.weights.values(), *found.weights, str(found.facts), str(found.defaults)]


suite = Suite(Format, observe=_observe)


@suite.check
def passes_over(format: Format) -> None:
    """Takes no folder for its own that is empty, holds something else, or is a run."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for what, file in (("an empty folder", None), ("a folder of notes", "notes.txt"), ("a run", "run.toml")):
            place = folder / what.replace(" ", "-")
            place.mkdir()
            if file is not None:
                (place / file).write_text("[run]\nschema = 1\n")
            expect(not format.recognises(place), f"recognises {what}")


@suite.check
def recognises_its_own(format: Format) -> None:
    """Recognises what it has written."""
    with TemporaryDirectory() as folder:
        place, _, _, _ = _written(format, Path(folder))
        expect(format.recognises(place), "does not recognise what it has written")


@suite.check
def reads_back(format: Format) -> None:
    """Reads a model that predicts what the written one does, to 1e-5, on data of the same shape."""
    with TemporaryDirectory() as folder:
        place, plan, spec, weights = _written(format, Path(folder))
        found = _read(format, place)
        expect(found.shape in (None, spec.event_shape), f"reads data of shape {found.shape} for {spec.event_shape}")
        tables = {"data": plan.table(load_plugins().registry)["data"], **found.defaults, **found.facts}
        again = resolve(load_plugins().registry, tables)
        before, after = plan.model(spec), again.model(spec)
        before.backbone.load_state_dict(dict(weights))
        try:
            after.backbone.load_state_dict(dict(found.weights))
        except RuntimeError as error:
            raise CheckFailed(f"reads weights that do not fit the network: {one_line(error)}") from error
        before.backbone.eval(), after.backbone.eval()
        x = normal(3, *spec.event_shape).float()
        cond = None if spec.classes is None else {"label": torch.arange(3) % spec.classes}
        p = plan.perturbation
        times = [p.t_min or 0.1, 0.5, 1.0] if p.knots is None else p.knots[[0, len(p.knots) // 2, -1]].tolist()
        for t in times:
            with torch.no_grad():
                one, other = (m(x, t, cond).eps for m in (before, after))
            close(other, one, f"the noise that is predicted at t = {t:g}", rtol=1e-5, atol=1e-5)


@suite.check
def damaged(format: Format) -> None:
    """Refuses what is damaged by an error of fokker's own."""
    with TemporaryDirectory() as folder:
        place, _, _, _ = _written(format, Path(folder))
        for file in [place] if place.is_file() else [each for each in place.rglob("*") if each.is_file()]:
            kept = file.read_bytes()
            for content in (b"", b"garbage", b"{}", b"[1]", kept[: len(kept) // 2]):
                file.write_bytes(content)
                try:
                    format.read(place, load_plugins().registry)
                except FokkerError as error:
                    expect("\n" not in str(error), "refuses a damaged file in more than one line")
                except Exception as error:
                    raise CheckFailed(f"stumbles over a damaged {file.name}: {one_line(error)}") from error
            file.write_bytes(kept)


def _written(format: Format, folder: Path) -> tuple[Path, Plan, DataSpec, dict[str, Tensor]]:
    """A small plan, written: where it is, the plan, its data and its weights."""
    if not format.writes:
        raise NotApplicable("it is taken in alone")
    registry = load_plugins().registry
    plan = resolve(registry, format.example or _POINTS)
    spec = spec_of(plan, plan.data.open("train"))
    backbone = plan.model(spec).backbone
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in backbone.parameters():  # what begins at zero hides what comes before it
            p.add_(0.05 * torch.randn(p.shape, dtype=p.dtype, generator=generator))
    weights = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    place = folder / f"written{format.suffix}"
    format.write(place, registry, plan, spec, weights)
    return place, plan, spec, weights


def _read(format: Format, place: Path) -> Published:
    try:
        return format.read(place, load_plugins().registry)
    except ConfigError as error:
        raise NotApplicable(f"refused: {error}") from error
