"""The registry: what components there are, by kind and name, without importing them.

A plugin registers a lazy reference, `"package.module:Class"`, and one line that says what it is; the class is imported
when it is first used. A name belongs to a distribution: `fokker-foo/heun` always means one component, and the bare
`heun` means fokker's own or else the only one there is. The plugin's own name will do for its distribution's, where no
distribution has it: `foo/heun`. Nothing shadows anything.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, is_dataclass
from importlib import import_module
from inspect import isabstract
from sys import modules
from typing import TYPE_CHECKING, Any, TypeAlias

from fokker.component import describe, summary
from fokker.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from fokker.data import DataSource, Transform
    from fokker.format import Format
    from fokker.grid import Grid
    from fokker.label import Label
    from fokker.metric import Metric
    from fokker.network import Network
    from fokker.noise_source import NoiseSource
    from fokker.objective import Objective
    from fokker.parameterization import Parameterization
    from fokker.perturbation import Perturbation
    from fokker.sampler import Corrector, OneStep, Sampler
    from fokker.sink.sink import WholeFileSink
    from fokker.weighting import Weighting

__all__ = [
    "INTERFACES",
    "KINDS",
    "LOCAL",
    "Entry",
    "Provider",
    "Registry",
    "canonical",
    "interface_of",
    "nearest",
    "one_line",
]

INTERFACES = {
    "perturbation": "fokker.perturbation:Perturbation",
    "network": "fokker.network:Network",
    "label": "fokker.label:Label",
    "parameterization": "fokker.parameterization:Parameterization",
    "objective": "fokker.objective:Objective",
    "weighting": "fokker.weighting:Weighting",
    "sampler": "fokker.sampler:Sampler",
    "predictor": "fokker.sampler:OneStep",
    "corrector": "fokker.sampler:Corrector",
    "grid": "fokker.grid:Grid",
    "guidance": "fokker.guidance:Guidance",
    "noise": "fokker.noise_source:NoiseSource",
    "data": "fokker.data:DataSource",
    "transform": "fokker.data:Transform",
    "metric": "fokker.metric:Metric",
    "format": "fokker.format:Format",
}
"""The interface that a component of each kind implements; its class attribute `kind` says the same."""

_SINK, _SINKS = "fokker.sink.sink:WholeFileSink", "sink"
"""What writes files of samples: registered by suffix, and no component, since nothing of it is configured."""

KINDS = (*INTERFACES, "recipe")
"""Every kind, in the order in which they are listed."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_RESOURCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[\w.-]+(?:/[\w.-]+)*\.toml", re.ASCII)

_Target: TypeAlias = "str | type[Any]"


def canonical(distribution: str) -> str:
    """A distribution's name as package indices compare it: lower case, `-` for runs of `-`, `_` and `.` (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def nearest(name: str, names: Sequence[str]) -> str:
    """` Did you mean 'heun'?` with a leading space for the most similar of `names`; empty where none is similar."""
    import difflib  # for messages alone

    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""


def one_line(error: BaseException) -> str:
    """An exception as one line: its type and what it says."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 400 else text[:399] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def interface_of(kind: str) -> type[Any]:
    """Import the interface that components of a kind implement."""
    interface: type[Any] = _imported(INTERFACES[kind])
    return interface


def _imported(target: str) -> Any:
    module, _, path = target.partition(":")
    found = import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    return found


@dataclass(frozen=True)
class Provider:
    """Whose a component is.

    Args:
        distribution: The installed distribution, in canonical spelling; `fokker` for the built-in plugins.
        plugin: The plugin's name: that of its entry point, or `core`.
        version: The distribution's version; empty where there is none.
    """

    distribution: str
    plugin: str
    version: str = ""

    def __str__(self) -> str:
        """`fokker-leapfrog/leapfrog`: the distribution and the plugin's name."""
        return f"{self.distribution}/{self.plugin}"


LOCAL = Provider("local", "local")
"""The provider of what is registered by hand, outside any plugin."""


@dataclass(frozen=True)
class Entry:
    """One registered component or recipe.

    Args:
        kind: One of `KINDS`.
        name: The name, in kebab-case.
        target: A class, `"package.module:Class"`, or for a recipe `"package:folder/file.toml"`.
        summary: One line that says what it is; empty for the first sentence of the class's docstring.
        provider: Whose it is.
    """

    kind: str
    name: str
    target: _Target
    summary: str
    provider: Provider

    @property
    def qualified(self) -> str:
        """`distribution/name`, which nothing else of this kind is called."""
        return f"{self.provider.distribution}/{self.name}"

    @property
    def written(self) -> str:
        """How a configuration that must mean the same tomorrow writes it: bare if it is fokker's own."""
        return self.name if self.provider.distribution == "fokker" else self.qualified

    def load(self) -> type[Any]:
        """Import the component's class.

        Raises:
            PluginError: If it cannot be imported, is not a component, or is not of this kind.
        """
        if self.kind == "recipe":
            raise TypeError(f"{self._who} is a text, not a class; read it with text().")
        cls = self.load_class(INTERFACES[self.kind])
        if not is_dataclass(cls) or "name" in (f.name for f in describe(cls)):
            raise PluginError(f"{self._who} must be a class made by @component, with no field called 'name'.")
        return cls

    def load_class(self, interface: str) -> type[Any]:
        """Import the class, whatever it is made by.

        Args:
            interface: `"package.module:Class"` of what it must be a subclass of.

        Raises:
            PluginError: If it cannot be imported, or is no complete subclass.
        """
        cls, wanted = self._imported(self.target), self._imported(interface)
        if not (isinstance(cls, type) and issubclass(cls, wanted)):
            raise PluginError(f"{self._who} is not a {wanted.__name__}: {self.target!r} must be a subclass of it.")
        if isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise PluginError(f"{self._who} is abstract: {cls.__name__} must define {missing}.")
        return cls

    def text(self) -> str:
        """Read a recipe.

        Raises:
            PluginError: If the file is not in the package.
        """
        from importlib.resources import files

        assert isinstance(self.target, str)
        package, _, path = self.target.partition(":")
        try:
            return files(package).joinpath(path).read_text("utf-8")
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self._who} cannot be read: {one_line(error)}") from error

    def describe(self) -> str:
        """The summary; where the plugin gave none, the first sentence of the docstring of a class given as such."""
        return self.summary or (summary(self.target) if isinstance(self.target, type) else "")

    @property
    def _who(self) -> str:
        who = self.provider
        return f"{self.kind} '{self.name}' of plugin {who.plugin} ({f'{who.distribution} {who.version}'.strip()})"

    def _imported(self, target: _Target) -> Any:
        if not isinstance(target, str):
            return target
        try:
            return _imported(target)
        except (Exception, SystemExit) as error:  # a plugin's module may do anything while it is imported
            raise PluginError(f"{self._who} cannot be loaded: {one_line(error)}") from error


@dataclass
class Registry:
    """Components by kind and name.

    The methods named after the kinds register; `get`, `entries` and `find` look up.

    Args:
        provider: Whose the components are that are registered here.
        failed: Names of plugins that could not be loaded; mentioned where a name is not found.
        blocked: Names of plugins that `FOKKER_PLUGINS` leaves out; mentioned likewise.
    """

    provider: Provider = LOCAL
    failed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    _entries: dict[tuple[str, str], list[Entry]] = field(default_factory=dict, init=False, repr=False)
    _absent: dict[tuple[str, str], list[tuple[Provider, str]]] = field(default_factory=dict, init=False, repr=False)

    def perturbation(self, name: str, target: "str | type[Perturbation]", *, summary: str = "") -> None:
        """Register a perturbation.

        Args:
            name: In kebab-case.
            target: `"package.module:Class"`, or the class itself.
            summary: One line for `fokker list`.

        Raises:
            PluginError: If the name or the target is malformed, or if the name is registered already.
        """
        self._add("perturbation", name, target, summary)

    def network(self, name: str, target: "str | type[Network]", *, summary: str = "") -> None:
        """Register a network; arguments and errors as for `perturbation`."""
        self._add("network", name, target, summary)

    def label(self, name: str, target: "str | type[Label]", *, summary: str = "") -> None:
        """Register a label; arguments and errors as for `perturbation`."""
        self._add("label", name, target, summary)

    def parameterization(self, name: str, target: "str | type[Parameterization]", *, summary: str = "") -> None:
        """Register a parameterization; arguments and errors as for `perturbation`."""
        self._add("parameterization", name, target, summary)

    def objective(self, name: str, target: "str | type[Objective]", *, summary: str = "") -> None:
        """Register an objective; arguments and errors as for `perturbation`."""
        self._add("objective", name, target, summary)

    def weighting(self, name: str, target: "str | type[Weighting]", *, summary: str = "") -> None:
        """Register a weighting of the objective `denoising`; arguments and errors as for `perturbation`."""
        self._add("weighting", name, target, summary)

    def sampler(self, name: str, target: "str | type[Sampler]", *, summary: str = "") -> None:
        """Register a sampler; arguments and errors as for `perturbation`."""
        self._add("sampler", name, target, summary)

    def predictor(self, name: str, target: "str | type[OneStep]", *, summary: str = "") -> None:
        """Register a predictor of the sampler `pc`; arguments and errors as for `perturbation`."""
        self._add("predictor", name, target, summary)

    def corrector(self, name: str, target: "str | type[Corrector]", *, summary: str = "") -> None:
        """Register a corrector of the sampler `pc`; arguments and errors as for `perturbation`."""
        self._add("corrector", name, target, summary)

    def grid(self, name: str, target: "str | type[Grid]", *, summary: str = "") -> None:
        """Register a grid of times; arguments and errors as for `perturbation`."""
        self._add("grid", name, target, summary)

    def guidance(self, name: str, target: _Target, *, summary: str = "") -> None:
        """Register a guidance; arguments and errors as for `perturbation`."""
        self._add("guidance", name, target, summary)

    def noise(self, name: str, target: "str | type[NoiseSource]", *, summary: str = "") -> None:
        """Register a noise source; arguments and errors as for `perturbation`."""
        self._add("noise", name, target, summary)

    def data(self, name: str, target: "str | type[DataSource]", *, summary: str = "") -> None:
        """Register a data source; arguments and errors as for `perturbation`."""
        self._add("data", name, target, summary)

    def transform(self, name: str, target: "str | type[Transform]", *, summary: str = "") -> None:
        """Register a transform of a data source; arguments and errors as for `perturbation`."""
        self._add("transform", name, target, summary)

    def metric(self, name: str, target: "str | type[Metric]", *, summary: str = "") -> None:
        """Register a metric; arguments and errors as for `perturbation`."""
        self._add("metric", name, target, summary)

    def format(self, name: str, target: "str | type[Format]", *, summary: str = "") -> None:
        """Register a format of stored models, for `fokker convert`; arguments and errors as for `perturbation`."""
        self._add("format", name, target, summary)

    def recipe(self, name: str, target: str, *, summary: str = "") -> None:
        """Register a recipe: a complete configuration, shipped inside the plugin's package.

        Args:
            name: In kebab-case.
            target: `"package:folder/file.toml"`, a resource of the package.
            summary: One line for `fokker list`.

        Raises:
            PluginError: If the name or the target is malformed, or if the name is registered already.
        """
        self._add("recipe", name, target, summary)

    def sink(self, suffix: str, target: "str | type[WholeFileSink]") -> None:
        """Register what writes samples into files of a suffix, for `fokker sample --out`.

        Args:
            suffix: Such as `.wav`; those that fokker writes itself are not asked for.
            target: `"package.module:Class"` of a `fokker.sink.WholeFileSink`, or the class itself.

        Raises:
            PluginError: If the suffix or the target is malformed, or if the suffix is registered already.
        """
        if not isinstance(suffix, str) or not suffix.startswith("."):
            raise PluginError(f"{suffix!r} is no suffix of a file, such as '.wav'.")
        self._add(_SINKS, suffix[1:].lower(), target, "")

    def sink_for(self, suffix: str) -> "type[WholeFileSink] | None":
        """The sink for files of a suffix, or None.

        Raises:
            ConfigError: If several distributions provide one.
            PluginError: If it cannot be imported, or is no sink.
        """
        found = self._entries.get((_SINKS, suffix[1:]), [])
        if len(found) > 1:
            names = " and ".join(sorted(e.provider.distribution for e in found))
            raise ConfigError(f"{names} both write {suffix} files; leave one out with FOKKER_PLUGINS.")
        return found[0].load_class(_SINK) if found else None

    def sink_suffixes(self) -> list[str]:
        """The suffixes that plugins write, sorted."""
        return sorted(f".{name}" for kind, name in self._entries if kind == _SINKS)

    def absent(self, kind: str, name: str, reason: str) -> None:
        """Say why there is no component of a name that a user may well look for.

        A plugin that wraps a library says so of the parts that it leaves out. The name stays free.

        Args:
            kind: One of `KINDS`.
            name: In kebab-case.
            reason: One sentence: why there is none, and what to take instead.

        Raises:
            PluginError: If the kind is none, the name is malformed, or the reason is not one line.
        """
        if kind not in KINDS or not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginError(f"{kind} {name!r} cannot be absent: give a kind, and a name in kebab-case.")
        if not reason.strip() or "\n" in reason:
            raise PluginError(f"{kind} '{name}' is absent for no reason; give one, in one line.")
        self._absent.setdefault((kind, name), []).append((self.provider, reason.strip()))

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Everything registered, of one kind or of all, ordered by kind and name.

        Raises:
            ConfigError: If there is no such kind.
        """
        kinds = KINDS if kind is None else (self._kind(kind),)
        found = [e for (k, _), entries in self._entries.items() for e in entries if k in kinds]
        return sorted(found, key=lambda e: (KINDS.index(e.kind), e.name, e.provider.distribution))

    def names(self, kind: str) -> list[str]:
        """The names that `get` takes: bare where that is enough, else qualified.

        Raises:
            ConfigError: If there is no such kind.
        """
        return [self.shortest(entry) for entry in self.entries(kind)]

    def shortest(self, entry: Entry) -> str:
        """The shortest name that `get` finds an entry by: the bare one unless that means another or several."""
        return entry.name if self._bare(entry.kind, entry.name) is entry else entry.qualified

    def get(self, kind: str, name: str) -> Entry:
        """Look up a component.

        Args:
            kind: One of `KINDS`.
            name: Its name, bare or qualified with its distribution or its plugin; `_` is taken for `-`.

        Raises:
            ConfigError: If there is none of this name, saying why if that was told, or if it could mean several.
        """
        kind = self._kind(kind)
        distribution, slash, bare = name.rpartition("/")
        bare = bare.replace("_", "-")
        if slash:
            provided = self._entries.get((kind, bare), [])
            for entry in provided:
                if entry.provider.distribution == canonical(distribution):
                    return entry
            of_plugin = [entry for entry in provided if canonical(entry.provider.plugin) == canonical(distribution)]
            if len(of_plugin) == 1:
                return of_plugin[0]
            if of_plugin:
                spelled = " or ".join(sorted(entry.qualified for entry in of_plugin))
                raise ConfigError(f"Several distributions have a plugin '{distribution}'; write {spelled}.")
            raise self._not_found(kind, name)
        entry_ = self._bare(kind, bare)
        if entry_ is not None:
            return entry_
        several = self._entries.get((kind, bare))
        if several:
            spelled = " or ".join(sorted(e.qualified for e in several))
            raise ConfigError(f"The {kind} '{bare}' is provided by {len(several)} distributions; write {spelled}.")
        raise self._not_found(kind, name)

    def find(self, cls: type, kind: str | None = None) -> Entry:
        """Look up the entry of a component's class: the reverse of `get(...).load()`.

        Args:
            cls: The class.
            kind: The kind to look in; unless given, the first of `KINDS` in which the class is registered.

        Raises:
            ConfigError: If the class is not registered.
        """
        entries = [e for e in self.entries(kind) if e.kind != "recipe"]
        spelled = f"{cls.__module__}:{cls.__qualname__}"
        for entry in entries:
            if entry.target is cls or entry.target == spelled:
                return entry
        for entry in entries:  # the target may name a package that re-exports the class
            module = entry.target.partition(":")[0] if isinstance(entry.target, str) else ""
            if module.split(".")[0] == cls.__module__.split(".")[0] and module in modules and entry.load() is cls:
                return entry
        raise ConfigError(
            f"{cls.__name__} is not a registered {kind or 'component'}; register it in a plugin's fokker_register, so "
            f"that a configuration can name it."
        )

    def merge(self, other: "Registry") -> None:
        """Take in everything that another registry holds, or nothing.

        Raises:
            PluginError: If a distribution would provide two components of one kind and name.
        """
        for key, entries in other._entries.items():
            for entry in entries:
                for mine in self._entries.get(key, ()):
                    if mine.provider.distribution == entry.provider.distribution:
                        raise PluginError(
                            f"{entry.kind} '{entry.name}' is registered by plugin {mine.provider.plugin} of the same "
                            f"distribution {mine.provider.distribution} already."
                        )
        for key, entries in other._entries.items():
            self._entries.setdefault(key, []).extend(entries)
        for key, reasons in other._absent.items():
            self._absent.setdefault(key, []).extend(reasons)

    def __iter__(self) -> Iterator[Entry]:
        """All entries, ordered by kind and name."""
        return iter(self.entries())

    def _add(self, kind: str, name: str, target: _Target, summary: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginError(
                f"{name!r} cannot name a {kind}: names are kebab-case, lower-case letters and digits joined by '-'."
            )
        pattern, form = (
            (_RESOURCE, "package:folder/file.toml") if kind == "recipe" else (_CLASS, "package.module:Class")
        )
        if isinstance(target, str):
            fits = pattern.fullmatch(target) is not None
        else:
            fits = isinstance(target, type) and kind != "recipe"
        if not fits:
            raise PluginError(f"{kind} '{name}' refers to {target!r}, which is not of the form '{form}'.")
        if (kind, name) in self._entries:
            raise PluginError(f"{kind} '{name}' is registered twice.")
        self._entries[kind, name] = [Entry(kind, name, target, " ".join(summary.split()), self.provider)]

    def _kind(self, kind: str) -> str:
        if kind not in KINDS:
            raise ConfigError(f"No kind '{kind}'.{nearest(kind, KINDS)} The kinds are {', '.join(KINDS)}.")
        return kind

    def _bare(self, kind: str, name: str) -> Entry | None:
        """The entry that the bare name means, if it means one."""
        entries = self._entries.get((kind, name), [])
        own = [e for e in entries if e.provider.distribution == "fokker"]
        if own:
            return own[0]
        return entries[0] if len(entries) == 1 else None

    def _not_found(self, kind: str, name: str) -> ConfigError:
        qualifier, _, bare = name.rpartition("/")
        for provider, reason in self._absent.get((kind, bare.replace("_", "-")), ()):
            if canonical(qualifier) in ("", provider.distribution, canonical(provider.plugin)):
                return ConfigError(f"No {kind} named '{name}': {reason}")
        known = self.names(kind)
        elsewhere = [k for k, n in self._entries if n == name.replace("_", "-") and k != kind]
        if elsewhere:
            hint = f" There is a {elsewhere[0]} of that name{_composed(kind, elsewhere[0], name)}."
        elif known:
            hint = nearest(name.replace("_", "-"), known) or f" See 'fokker list {kind}'."
        else:
            hint = f" There is no {kind} at all."
        notes = []
        if self.failed:
            notes.append(f"{_plugins(len(self.failed))} failed to load: {', '.join(self.failed)}")
        if self.blocked:
            notes.append(f"{_plugins(len(self.blocked))} left out by FOKKER_PLUGINS: {', '.join(self.blocked)}")
        note = f" ({'; '.join(notes)}; see 'fokker plugins'.)" if notes else ""
        return ConfigError(f"No {kind} named '{name}'.{hint}{note}")


def _composed(kind: str, other: str, name: str) -> str:
    """How a part of a sampler is sampled with."""
    if kind != "sampler" or other not in ("predictor", "corrector"):
        return ""
    parts = {"predictor": "identity", "corrector": "unchanged"} | {other: name}
    return ": write 'pc:" + ",".join(f"{part}={named}" for part, named in parts.items()) + "'"


def _plugins(n: int) -> str:
    return f"{n} plugin" if n == 1 else f"{n} plugins"
