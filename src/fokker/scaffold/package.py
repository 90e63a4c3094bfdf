"""The package: its names, its files, and how they are written."""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import metadata
from importlib.resources import files
from keyword import kwlist
from pathlib import Path
from string import Template

import fokker
from fokker.errors import ConfigError
from fokker.plugins.registry import KINDS as REGISTERED
from fokker.plugins.registry import nearest
from fokker.scaffold.kinds import KINDS

__all__ = ["Package", "write"]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class Package:
    """A plugin package with one component.

    Args:
        name: The component's name, in kebab-case.
        kind: Its kind.

    Raises:
        ConfigError: If there is no such kind, or if the name cannot be the name of a component and of its class.
    """

    name: str
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"No kind '{self.kind}'.{nearest(self.kind, REGISTERED)} The kinds are {', '.join(KINDS)}."
            )
        if self.name.startswith("fokker-"):
            bare = self.name.removeprefix("fokker-")
            raise ConfigError(f"'{self.name}' would be packaged as fokker-{self.name}; give its name alone, '{bare}'.")
        if not _NAME.fullmatch(self.name):
            kebab = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", self.name).lower()).strip("-")
            advice = f" Try '{kebab}'." if _NAME.fullmatch(kebab) else ""
            raise ConfigError(
                f"'{self.name}' cannot name a {self.kind}: names are lower-case letters and digits joined by '-', and "
                f"begin with a letter.{advice}"
            )
        if self.kind != "recipe" and any(self.cls in _bound(text) for text in self._modules()):
            raise ConfigError(f"'{self.name}' would name the class {self.cls}, which is taken already: choose another.")

    @property
    def distribution(self) -> str:
        """Name of the distribution, and of the folder."""
        return f"fokker-{self.name}"

    @property
    def package(self) -> str:
        """Name of the Python package."""
        return self.distribution.replace("-", "_")

    @property
    def module(self) -> str:
        """Name of the module that holds the component, and of its test."""
        return self.kind

    @property
    def cls(self) -> str:
        """Name of the class."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def files(self) -> dict[str, str]:
        """Texts by the path of their file inside the package's folder."""
        return {path: self._fill(template, self.cls) for path, template in self._templates().items()}

    def _templates(self) -> dict[str, str]:
        """Templates by the path of the file that they make."""
        recipe = self.kind == "recipe"
        return {
            "pyproject.toml": "package/pyproject.toml",
            "README.md": "package/README.md",
            ".gitignore": "package/gitignore",
            ".github/workflows/tests.yml": "package/workflow.yml",
            f"src/{self.package}/__init__.py": "package/init.py",
            f"src/{self.package}/{self._component}": f"{self.kind}/component{'.toml' if recipe else '.py'}",
            f"src/{self.package}/py.typed": "package/py.typed",
            "tests/test_conformance.py": f"{'recipe' if recipe else 'package'}/test_conformance.py",
            f"tests/test_{self.module}.py": f"{self.kind}/test.py",
        }

    def _modules(self) -> Iterator[str]:
        """The texts in which the class is defined or imported, with another name in its place."""
        for path, template in self._templates().items():
            if path.endswith(".py"):
                yield self._fill(template, "_")

    def _fill(self, template: str, cls: str) -> str:
        text = files("fokker.scaffold").joinpath("templates", f"{template}.tmpl").read_text("utf-8")
        return Template(text).substitute(self._values(cls))

    def _values(self, cls: str) -> dict[str, str]:
        """What the templates leave open."""
        kind = KINDS[self.kind]
        return {
            "cls": cls,
            "component": self._component,
            "description": f"{kind.summary.removesuffix('.')}, for fokker.",
            "distribution": self.distribution,
            "instances": ", ".join(f"{cls}({arguments})" for arguments in ("", *kind.instances)),
            "kind": self.kind,
            "module": self.module,
            "name": self.name,
            "package": self.package,
            "python": metadata("fokker")["Requires-Python"],
            "registrations": "\n".join(self._registration(each) for each in (self.kind, *kind.also)),
            "use": Template("\n".join(kind.use)).substitute(name=self.name),
            "version": ".".join(fokker.__version__.split(".")[:2]),
        }

    @property
    def _component(self) -> str:
        """The file of the component inside the Python package."""
        return f"recipes/{self.name}.toml" if self.kind == "recipe" else f"{self.module}.py"

    def _registration(self, kind: str) -> str:
        target = f"{self.package}:{self._component}" if kind == "recipe" else f"{self.package}.{self.module}:{self.cls}"
        return f"""    registry.{kind}(
        "{self.name}",
        "{target}",
        summary="{KINDS[self.kind].summary}",
    )"""


def write(package: Package, folder: Path, *, force: bool = False) -> None:
    """Write the files of a package.

    Args:
        package: The package.
        folder: Where they go; made if it is not there.
        force: Whether to write into a folder that holds something, over files of the same names.

    Raises:
        ConfigError: If the folder holds something and `force` is not set, or if it cannot be written.
    """
    try:
        if not force and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
            raise ConfigError(
                f"{folder} exists already: choose another folder with --out, or write over it with --force."
            )
        for path, text in package.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _bound(text: str) -> set[str]:
    """The names that a module defines, imports or uses, and those that Python has taken."""
    found = {*dir(builtins), *kwlist}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found
