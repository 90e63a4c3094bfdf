"""A hook of mkdocs: one reference page for every public module, so that none is forgotten.

The pages are generated from the folders `src` and `plugins/builtin` by mkdocstrings, which reads the sources without
importing them.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOTS = ("src", "plugins/builtin")


def public_modules(project: Path) -> list[str]:
    """Returns the dotted names of all modules without an underscored part, packages before their modules."""
    modules = []
    for root in ROOTS:
        for path in (project / root).rglob("*.py"):
            parts = path.relative_to(project / root).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            if not any(part.startswith("_") for part in parts):
                modules.append(".".join(parts))
    return sorted(modules)


def page(module: str) -> str:
    """Returns the path of a module's page below `docs/`."""
    return f"reference/{module}.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages to the navigation, after those of the reference that are written by hand."""
    packages: dict[str, list[dict[str, str]]] = {}
    for module in public_modules(Path(config.config_file_path).parent):
        packages.setdefault(module.split(".")[0], []).append({module: page(module)})
    reference = [{package: pages} for package, pages in packages.items()]
    next(entry for entry in config.nav if "Reference" in entry)["Reference"].extend(reference)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the generated pages themselves."""
    for module in public_modules(Path(config.config_file_path).parent):
        content = f"# `{module}`\n\n::: {module}\n"
        files.append(File.generated(config, page(module), content=content))
    return files
