"""The run folder: what a training leaves behind, and all that sampling needs.

RUN/ run.toml         the whole resolved plan, the data's shape, versions of fokker and of the plugins used
     metrics.jsonl    a line per logged step, deterministic fields only
     timings.jsonl    rates and times
     checkpoints/     see `fokker.run.checkpoint`
     previews/ samples/ report.html
"""

import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
import torch

from fokker.errors import ConfigError, RunError
from fokker.network import DataSpec
from fokker.plan import KINDS, Plan, resolve
from fokker.run import checkpoint as checkpoints

if TYPE_CHECKING:
    from fokker.model import NetworkModel
    from fokker.plugins.host import Host

__all__ = ["Run", "create", "open_run", "read_lines"]


@dataclass(frozen=True)
class Run:
    """An existing run.

    Args:
        path: Its folder.
        plan: Its resolved plan, with fitted transforms.
        spec: Shape and classes of its data.
    """

    path: Path
    plan: Plan
    spec: DataSpec

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, name: str | None = None) -> Path:
        """The folder of a checkpoint.

        Args:
            name: Its name (`step-00005000`), its step (`5000`), or None for the latest.

        Raises:
            RunError: If there is no such checkpoint, naming those there are.
        """
        if name is None:
            found = checkpoints.latest(self.checkpoints)
            if found is None:
                raise RunError(f"{self.path} has no checkpoint yet; let 'fokker train --resume' go on.")
            return found
        place = self.checkpoints / (f"step-{int(name):08d}" if name.isdigit() else name)
        if not place.is_dir():
            saved = ", ".join(str(s) for s in checkpoints.steps_saved(self.checkpoints)) or "none"
            raise RunError(f"{self.path} has no checkpoint {name!r}; there are: {saved}.")
        return place

    def model(
        self, *, checkpoint: str | None = None, raw_weights: bool = False, device: torch.device | str = "cpu"
    ) -> "NetworkModel":
        """The trained model in evaluation mode.

        Args:
            checkpoint: See `checkpoint`.
            raw_weights: Take the weights themselves instead of their moving average.
            device: Where to put it.

        Raises:
            RunError: If the checkpoint is missing or damaged.
        """
        group = "weights" if raw_weights or not self.plan.train.ema else "ema"
        loaded = checkpoints.load(self.checkpoint(checkpoint), group)
        model = self.plan.model(self.spec)
        model.backbone.load_state_dict(dict(loaded.tensors[group]))
        model.backbone.to(device).eval().requires_grad_(False)
        if self.plan.train.channels_last and len(self.spec.event_shape) == 3:
            model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model


def create(path: Path, host: "Host", plan: Plan, spec: DataSpec, *, force: bool = False) -> Run:
    """Make a run's folder and write its run.toml.

    Raises:
        RunError: If there is a run, or anything else, in the folder, unless `force` replaces it.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; give --out a new folder.")
    if path.is_dir() and any(path.iterdir()):
        if not (path / "run.toml").is_file():
            raise RunError(f"{path} is not empty and not a run; give --out a new folder.")
        if not force:
            raise RunError(
                f"{path} already holds a run; go on with --resume, replace it with --force, or use another --out."
            )
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    write_plan(path, host, plan, spec)
    return Run(path, plan, spec)


def write_plan(path: Path, host: "Host", plan: Plan, spec: DataSpec) -> None:
    """Write run.toml, replacing it whole."""
    tables = plan.table(host.registry)
    facts: dict[str, Any] = {"event_shape": list(spec.event_shape)}
    if spec.classes is not None:
        facts["classes"] = spec.classes
    if spec.levels is not None:
        facts["levels"] = spec.levels
    tables["run"] = {"schema": 1, **facts, "versions": _versions(host, plan)}
    checkpoints.write_atomic(path / "run.toml", tomli_w.dumps(tables))


def open_run(path: Path, host: "Host") -> Run:
    """Read an existing run.

    Raises:
        RunError: If there is no run, or its run.toml is damaged.
        ConfigError: If a component that it uses is not there; the plugin that has it is named.
    """
    file = path / "run.toml"
    if not file.is_file():
        raise RunError(f"{path} is not a run: there is no {file.name} in it. 'fokker train --out {path}' makes one.")
    try:
        tables = tomllib.loads(file.read_text())
        about = tables["run"]
        spec = DataSpec(tuple(about["event_shape"]), about.get("classes"), {}, about.get("levels"))
        versions: Mapping[str, str] = about["versions"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RunError(f"{file} is damaged: {error}. Restore it, or train again.") from None
    loaded = {p.distribution for p in host.plugins if p.status == "loaded"}
    missing = [f"{name} {version}" for name, version in versions.items() if name not in loaded]
    try:
        plan = resolve(host.registry, tables)
    except ConfigError as error:
        if missing:
            raise ConfigError(
                f"{error} This run was made with {', '.join(missing)}, which is not installed or enabled."
            ) from None
        raise
    return Run(path, plan, spec)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON-lines file; a last line that was cut off by a crash is passed over."""
    if not file.is_file():
        return
    with file.open() as stream:
        for line in stream:
            if line.endswith("\n"):
                yield json.loads(line)


def _versions(host: "Host", plan: Plan) -> dict[str, str]:
    """Versions of the distributions whose components the plan uses."""
    version_of = {p.distribution: p.version or "unknown" for p in host.plugins}
    used = {host.registry.find(type(getattr(plan, k)), k).provider.distribution for k in KINDS}
    used |= {"fokker"}
    return {name: version_of.get(name, "unknown") for name in sorted(used)}
