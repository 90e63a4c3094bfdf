"""The run folder: what a training leaves behind, and all that sampling needs.

RUN/ run.toml         the whole resolved plan, the data's shape, versions of fokker and of the plugins used
     metrics.jsonl    a line per logged step, deterministic fields only
     timings.jsonl    rates and times
     checkpoints/     see `fokker.run.checkpoint`
     grids.json       grids that were tuned for it, see `fokker.run.grids`
     plugins/         what plugins store with it, a folder for each distribution, see `plugin_folder`
     previews/ samples/ report.html
"""

import dataclasses
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tomli_w
import torch

import fokker
from fokker.errors import ConfigError, RunError
from fokker.label import Label
from fokker.network import DataSpec
from fokker.partial import write_text
from fokker.plan import Plan, resolve, width_of
from fokker.plugins.registry import canonical
from fokker.run import checkpoint as checkpoints
from fokker.width import Width

if TYPE_CHECKING:
    from fokker.classifier import NetworkClassifier
    from fokker.model import NetworkModel
    from fokker.plugins.host import Host
    from fokker.plugins.registry import Provider, Registry

__all__ = ["Run", "create", "open_run", "plugin_folder", "read_lines", "refuse_taken", "write_plan"]

SCHEMA = 1
_OWN = (
    "checkpoints",
    "previews",
    "samples",
    "plugins",
    "report.html",
    "grids.json",
    "timings.jsonl",
    "metrics.jsonl",
    "run.toml",
)
"""What a run consists of; run.toml goes last, so that a run that is half removed is still one."""


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

    def width(self) -> Width | None:
        """The width of its data: as it was measured at its training, or now if the data is there."""
        return width_of(self.plan, self.spec)

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

    def told_between(self, rule: Literal["refuse", "round", "interpolate"] | None) -> "Run":
        """The run with another rule for what a network of levels is told between two of them.

        Args:
            rule: See `fokker.label.Index`; None for the run's own.

        Raises:
            ConfigError: If its network is not told levels, or cannot be told a fraction of one.
        """
        if rule is None:
            return self
        label, network = self.plan.label, self.plan.network
        if "between" not in {f.name for f in dataclasses.fields(label)}:  # type: ignore[arg-type]
            raise ConfigError(
                f"--between is for networks that are told the level of a table, and {self.path} was trained with "
                f"{type(label).__name__}, which exists at all times; leave it out."
            )
        if rule == "interpolate" and network.reads_levels:
            raise ConfigError(f"{type(network).__name__} has a row for each level, no fractions; use --between round.")
        told: Label = dataclasses.replace(label, between=rule)  # type: ignore[type-var]
        plan = dataclasses.replace(self.plan, label=told)
        return dataclasses.replace(self, plan=plan)

    def label(self, label: int | Literal["none"] | None, classes: int | None = None) -> int | None:
        """The class label that a choice of one means to the model.

        Args:
            label: The class, `none` for samples of no class, or None if nothing was chosen.
            classes: Number of classes of what steers the samples; those of the model unless given.

        Returns:
            The class; for `none` the number of classes, which is "no label"; None if nothing was chosen.

        Raises:
            ConfigError: If there is no such class, or if the model was never shown examples without their labels.
        """
        known = self.spec.classes if classes is None else classes
        if label is None:
            return None
        if known is None:
            raise ConfigError(
                "This model was trained without labels, so --label has no meaning; leave it out, or train with "
                "train.labels=true on data with classes."
            )
        if label == "none":
            if self.spec.classes is None:
                raise ConfigError(
                    "This model knows no classes, and --label none leaves nothing to steer towards; leave out the "
                    "guidance."
                )
            if not self.plan.train.label_dropout:
                raise ConfigError(
                    "This model was never shown an example without its label, so --label none has no meaning; train "
                    "one with train.label_dropout=0.1."
                )
            return known
        if label >= known:
            raise ConfigError(f"--label must be in 0 to {known - 1}, got {label}.")
        return label

    def model(
        self, *, checkpoint: str | None = None, raw_weights: bool = False, device: torch.device | str = "cpu"
    ) -> "NetworkModel":
        """The trained model in evaluation mode.

        Args:
            checkpoint: See `checkpoint`.
            raw_weights: Take the weights themselves instead of their moving average.
            device: Where to put it.

        Raises:
            RunError: If the checkpoint is missing or damaged, or belongs to another network.
            ConfigError: If the network answers with classes, of which no samples or likelihoods can be had.
        """
        if self.plan.network.answers != "data":
            raise ConfigError(
                f"{self.path} is a classifier, which has nothing to sample; guide a model of the data with it: "
                f"--guidance \"classifier:run='{self.path}'\"."
            )
        return self._network(checkpoint, raw_weights=raw_weights, device=device)

    def classifier(
        self, *, checkpoint: str | None = None, raw_weights: bool = False, device: torch.device | str = "cpu"
    ) -> "NetworkClassifier":
        """The trained classifier in evaluation mode.

        Args:
            checkpoint: See `checkpoint`.
            raw_weights: Take the weights themselves instead of their moving average.
            device: Where to put it.

        Raises:
            RunError: If the checkpoint is missing or damaged, or belongs to another network.
            ConfigError: If the network does not answer with classes.
        """
        from fokker.classifier import NetworkClassifier

        if self.plan.network.answers != "classes" or self.spec.classes is None:
            raise ConfigError(
                f"{self.path} is not a classifier; train one with the objective 'classifier', as the recipe "
                "digits-classifier does."
            )
        model = self._network(checkpoint, raw_weights=raw_weights, device=device)
        return NetworkClassifier(model, self.spec.event_shape, self.spec.classes)

    def _network(self, checkpoint: str | None, *, raw_weights: bool, device: torch.device | str) -> "NetworkModel":
        group = "weights" if raw_weights or not self.plan.train.ema else "ema"
        place = self.checkpoint(checkpoint)
        loaded = checkpoints.load(place, group)
        model = self.plan.model(self.spec)
        put_weights(model.backbone, loaded.tensors[group], place)
        model.backbone.to(device).eval().requires_grad_(False)
        if self.plan.train.channels_last and len(self.spec.event_shape) == 3:
            model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model


def refuse_taken(path: Path, *, force: bool = False) -> None:
    """Refuse a folder that a new run cannot have.

    Args:
        path: The folder.
        force: Whether a run that is there may be replaced.

    Raises:
        RunError: If there is a run, or anything else, in the folder.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; give --out a new folder.")
    if (path / "run.toml").is_file():
        if not force:
            raise RunError(
                f"{path} already holds a run; go on with --resume, replace it with --force, or use another --out."
            )
    elif path.is_dir() and any(not f.name.startswith(".run.toml.") for f in path.iterdir()):
        raise RunError(f"{path} is not empty and not a run; give --out a new folder.")


def create(path: Path, host: "Host", plan: Plan, spec: DataSpec, *, force: bool = False) -> Run:
    """Make a run's folder and write its run.toml.

    Args:
        path: The folder.
        host: The plugins, whose versions are written down.
        plan: The resolved plan, with fitted transforms.
        spec: Shape and classes of its data.
        force: Replace the run that is there: all that a run consists of is removed, other files stay.

    Raises:
        RunError: If there is a run, or anything else, in the folder, or if it cannot be written.
    """
    refuse_taken(path, force=force)
    for name in _OWN:
        old = path / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    write_plan(path, host, plan, spec)
    return Run(path, plan, spec)


def write_plan(path: Path, host: "Host", plan: Plan, spec: DataSpec) -> None:
    """Write run.toml, replacing it whole.

    Raises:
        RunError: If it cannot be written.
    """
    tables = plan.table(host.registry)
    facts: dict[str, Any] = {"event_shape": list(spec.event_shape)}
    if spec.classes is not None:
        facts["classes"] = spec.classes
    if spec.condition:
        facts["condition"] = {name: list(shape) for name, shape in spec.condition.items()}
    if spec.levels is not None:
        facts["levels"] = spec.levels
    if spec.width is not None:
        facts["width"] = dataclasses.asdict(spec.width)
    tables["run"] = {"schema": SCHEMA, **facts, "versions": _versions(host, plan)}
    write_text(path / "run.toml", tomli_w.dumps(tables))


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
        schema = int(about["schema"])
        width = Width(**about["width"]) if "width" in about else None
        condition = {name: tuple(map(int, shape)) for name, shape in about.get("condition", {}).items()}
        shape = tuple(map(int, about["event_shape"]))
        spec = DataSpec(shape, about.get("classes"), condition, about.get("levels"), width)
        versions = dict(about["versions"].items())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        cause = f"{error} is missing" if isinstance(error, KeyError) else error
        raise RunError(f"{file} is damaged: {cause}. Restore it, or train again.") from None
    if schema > SCHEMA:
        raise RunError(
            f"{file} was written by a newer fokker (schema {schema}; this one reads {SCHEMA}). Update fokker."
        )
    loaded = {f"{p.distribution}/{p.name}" for p in host.plugins if p.status == "loaded"}
    missing = [f"{name} {version}" for name, version in versions.items() if name not in loaded]
    try:
        plan = resolve(host.registry, tables)
    except ConfigError as error:
        if missing:
            raise ConfigError(
                f"{error} {path} was made with {', '.join(missing)}, which is not installed or not enabled here."
            ) from None
        raise ConfigError(f"{file}: {error}") from None
    return Run(path, plan, spec)


def plugin_folder(path: Path, distribution: str) -> Path:
    """Where a plugin keeps what it stores with a run; it need not be there yet, and goes when the run is replaced.

    Args:
        path: The run's folder.
        distribution: The plugin's distribution.
    """
    return path / "plugins" / canonical(distribution)


def put_weights(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], place: Path) -> None:
    """Load tensors into a module.

    Args:
        module: The module.
        tensors: A tensor for each of its parameters and buffers.
        place: The checkpoint that they come from, for the message.

    Raises:
        RunError: If they are another network's.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise RunError(
            f"{place} does not fit the network of run.toml ({first[0].strip().rstrip('.')}). Restore run.toml."
        ) from None


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON-lines file; a last line that was cut off by a crash is passed over.

    Raises:
        RunError: If another line is damaged.
    """
    if not file.is_file():
        return
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            if line.endswith("\n"):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise RunError(f"{file} is damaged in line {number}; remove that line.") from None


def _versions(host: "Host", plan: Plan) -> dict[str, str]:
    """Versions of the plugins whose components the plan uses."""
    used = {"fokker/core": fokker.__version__}
    used |= {str(provider): provider.version or "unknown" for provider in _providers(host.registry, plan)}
    return dict(sorted(used.items()))


def _providers(registry: "Registry", value: Any) -> Iterator["Provider"]:
    """Whose the components are that a value is made of."""
    if isinstance(value, tuple):
        for each in value:
            yield from _providers(registry, each)
    elif dataclasses.is_dataclass(value):
        if hasattr(type(value), "kind"):
            yield registry.find(type(value)).provider
        for field in dataclasses.fields(value):
            yield from _providers(registry, getattr(value, field.name))
