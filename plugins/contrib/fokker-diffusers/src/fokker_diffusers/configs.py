"""Configurations of diffusers' models and schedulers: JSON, read without running anything, every key accounted for.

diffusers itself passes over keys that it does not know with a warning. Here a key that would have no effect is refused
by its name, since the model would not be the one that was meant.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fokker import ConfigError

__all__ = ["accepted", "few", "own_keys", "read_config", "scheduler_class"]

_NAMED = 4
"""Keys that a message names at most."""


def read_config(source: str, file: str = "config.json") -> dict[str, Any]:
    """A configuration, wherever it stands.

    Args:
        source: A folder as `save_pretrained` writes it, a JSON file, or the JSON text itself.
        file: Name of the file in a folder.

    Raises:
        ConfigError: If there is no such thing, or if it is no JSON object.
    """
    text, name = source, "the inline config"
    if not source.lstrip().startswith("{"):
        path = Path(source)
        path = path / file if path.is_dir() else path
        if not path.is_file():
            raise ConfigError(f"There is no {path}; give a folder with a {file}, a JSON file, or the JSON text itself.")
        name = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name} is not valid JSON: {error}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{name} holds no JSON object, but {type(found).__name__}.")
    return found


def own_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what diffusers writes of itself: the keys that begin with an underscore."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def accepted(cls: type, config: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The keys of a configuration that a class takes; all of them.

    Args:
        cls: The class of diffusers.
        config: The configuration.
        what: What it is called in messages.

    Raises:
        ConfigError: If there is a key that the class does not take, naming it.
    """
    known = list(inspect.signature(cls.__init__).parameters)[1:]  # type: ignore[misc]
    own = own_keys(config)
    unknown = [key for key in own if key not in known]
    if unknown:
        raise ConfigError(f"{cls.__name__} has no {few(unknown)}, which {what} sets; take it out, or correct it.")
    return own


def scheduler_class(name: str) -> type[Any]:
    """A scheduler of diffusers by its class's name.

    Raises:
        ConfigError: If the installed diffusers has none of that name.
    """
    import diffusers

    found = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if not isinstance(found, type):
        raise ConfigError(f"diffusers {diffusers.__version__} has no scheduler {name}.")
    return found


def few(names: Sequence[str]) -> str:
    """Some names in words, the first of them if there are many."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + more
