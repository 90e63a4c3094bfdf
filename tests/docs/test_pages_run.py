"""What the pages show is run: Python as it stands, commands with fewer steps and samples, and plugins with their tests.

Blocks are run in the order of the page, in a folder of its own, by the rule of their fence:

    ```python                       run, in one namespace for the page
    ```LANGUAGE title="path"        written to that path, relative to the folder; a pyproject.toml is installed
    ```diff title="path"            applied to that file, whose lines must be there
    ```sh or ```bash                its lines that call fokker, or pytest on a folder, are run, and must succeed
    ```console                      its lines `$ fokker ...` are run, and must print the lines that follow each of them,
                                    in this order; `...` stands for any lines
    <!-- not run: why -->           before a fence of commands: they are only parsed, and their components built

What `fokker new-plugin` writes is installed at once. The commands of the gallery take long, and are only parsed.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from fokker import config
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.cli.options import ComponentType
from fokker.compare.measure import CONVERGENCE
from fokker.plugins.host import Host, load_plugins
from fokker.spec import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?"
    r"```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FEWER_STEPS, BATCH, SAMPLES, SAMPLE_STEPS = 500, 8, 8, 6


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    code: str
    title: str | None
    skipped: bool
    line: int


def blocks(text: str) -> Iterator[Block]:
    for found in FENCE.finditer(text):
        line = text[: found.start("code")].count("\n") + 1
        yield Block(found["language"], found["code"], found["title"], found["why"] is not None, line)


def has_work(path: Path) -> bool:
    return any(b.language in ("python", "sh", "bash", "console") for b in blocks(path.read_text(encoding="utf-8")))


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    folder: Path
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    sources: list[Path] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return load_plugins(environ={"FOKKER_STRICT": "1"})

    def read(self, block: Block, page: str) -> None:
        if block.title is not None:
            self.write(block)
        elif block.language == "python":
            code = "\n" * (block.line - 1) + block.code  # so that a traceback has the page's line
            exec(compile(code, page, "exec", dont_inherit=True), self.namespace)
        elif block.language in ("sh", "bash"):
            for program, command in commands(block.code):
                if block.skipped or page.startswith("docs/gallery/"):
                    self.parse(command)
                elif program == "pytest":
                    self.test(*command)
                else:
                    done = self.run(command)
                    assert done.exit_code == 0, f"{page}: {command}\n{done.output}"
        elif block.language == "console":
            for command, expected in sessions(block.code):
                printed = self.run(command, smaller=False).output.splitlines()
                missing = missing_line(expected, printed)
                assert missing is None, f"{page}: {command}\nprints no line\n  {missing}\nbut\n" + "\n".join(
                    printed[-20:]
                )

    def write(self, block: Block) -> None:
        path = self.folder / str(block.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        if block.language == "diff":
            path.write_text(patched(path.read_text(encoding="utf-8"), block.code), encoding="utf-8")
        else:
            path.write_text(block.code, encoding="utf-8")
        if path.name == "pyproject.toml":
            self.install(path)

    def install(self, pyproject: Path) -> None:
        """What pip does for an editable package: its sources are on the path, and its metadata beside them."""
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        source, found = pyproject.parent / "src", project["entry-points"]["fokker"]
        info = source / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
        )
        lines = ["[fokker]", *(f"{name} = {module}" for name, module in found.items()), ""]
        info.joinpath("entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        self.sources.append(source)
        sys.path.insert(0, str(source))
        importlib.invalidate_caches()

    def test(self, *arguments: str) -> None:
        """Run a page's own tests, in a process of their own."""
        path = os.pathsep.join(map(str, self.sources))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, command: list[str], *, smaller: bool = True) -> Result:
        """Run a command of fokker as the page has it, or with fewer steps and samples."""
        self.forget()  # what a page has changed since
        arguments = shrunk(command) if smaller else command
        done = CliRunner().invoke(cli, arguments, obj=App(loaded=self.host))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise AssertionError(f"{shlex.join(command)}\n{done.output}") from done.exception
        if command[0] == "new-plugin" and done.exit_code == 0:
            self.install(self.folder / done.stdout.strip() / "pyproject.toml")
        return done

    def forget(self) -> None:
        """Forget the modules of the folder, as a new process does."""
        importlib.invalidate_caches()
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]

    def parse(self, command: list[str]) -> None:
        """See that the command exists, takes these options, and that the components in them are there."""
        app = App(loaded=self.host)
        parent = click.Context(cli, info_name="fokker", obj=app)
        found = cli.get_command(parent, command[0])
        assert found is not None, command
        context = found.make_context(command[0], command[1:], parent=parent, resilient_parsing=False)
        for parameter in found.params:
            value = context.params.get(parameter.name or "")
            if isinstance(parameter.type, ComponentType) and value:
                for spec in value if isinstance(value, tuple) else (value,):
                    if spec != CONVERGENCE:  # a measure of `compare` itself, beside the metrics
                        config.build(self.host, parameter.type.kind, parse(spec))


def commands(code: str) -> Iterator[tuple[str, list[str]]]:
    """The calls of fokker and of pytest in a block of shell lines, without variables in front."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words and words[0] in ("fokker", "pytest"):
            end = next((i for i, word in enumerate(words) if word in (">", "|")), len(words))
            yield words[0], words[1:end]


def sessions(code: str) -> Iterator[tuple[list[str], list[str]]]:
    """The commands of a console, each with what it prints."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        first, *expected = part.splitlines()
        ((_, command),) = commands(first)
        yield command, expected


def patched(text: str, diff: str) -> str:
    """A text with the lines that begin with - replaced by those that begin with +."""
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", diff, re.MULTILINE):
        before, after = (re.sub(r"^.", "", lines, flags=re.MULTILINE) for lines in (old, new))
        assert text.count(before) == 1, f"these lines are not there once:\n{before}"
        text = text.replace(before, after)
    return text


def missing_line(expected: list[str], printed: list[str]) -> str | None:
    """The first expected line that is not printed after the one before it; how wide columns are does not count."""
    lines = iter([line.split() for line in printed])
    for line in expected:
        if line.split() not in ([], ["..."]) and line.split() not in lines:
            return line
    return None


def shrunk(command: list[str]) -> list[str]:
    """The same command with less to do."""

    def fewer(match: re.Match[str]) -> str:
        return f"{match[1]}{max(2, int(match[2]) // FEWER_STEPS)}"

    words = list(command)
    name = next((word for word in words if not word.startswith("-")), "")
    if name == "train":
        for i, word in enumerate(words[:-1]):
            if word == "--steps":
                words[i + 1] = str(max(2, int(words[i + 1]) // FEWER_STEPS))
        words = [re.sub(r"^(train\.steps=)(\d+)$", fewer, word) for word in words]
        words = [re.sub(r"\bchannels=\d+", "channels=8", word) for word in words]
        if "--steps" not in words and not any(word.startswith("train.steps=") for word in words):
            words += ["--set", "train.steps=2"]
        words += ["--set", f"train.batch_size={BATCH}"]
    elif name == "sample":
        for option, most in (("-n", SAMPLES), ("--steps", SAMPLE_STEPS), ("--first", SAMPLES)):
            for i, word in enumerate(words[:-1]):
                if word == option:
                    words[i + 1] = str(min(most, int(words[i + 1])))
        if not {"--steps", "--nfe"} & set(words):
            words += ["--steps", str(SAMPLE_STEPS)]
    elif name in ("likelihood", "encode"):
        words = [word for i, word in enumerate(words) if word != "-n" and words[i - 1] != "-n"] + ["-n", str(SAMPLES)]
    elif name == "compare":
        words += ["-n", str(SAMPLES), "--seeds", "2", "--latents", "2", "--nfe", "5"]
    elif name == "report":
        words += ["-n", str(SAMPLES), "--steps", str(SAMPLE_STEPS)]
    return words


def shrunk_python(code: str) -> str:
    """Python of a page with less to do: steps of a training and numbers of samples."""
    code = re.sub(r"(train\.steps=)(\d+)", lambda m: f"{m[1]}{max(2, int(m[2]) // FEWER_STEPS)}", code)
    return re.sub(r"(?<=train\.batch_size=)\d+", str(BATCH), code)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    environ = dict(os.environ)
    found = Reader(tmp_path)
    yield found
    os.environ.clear()
    os.environ.update(environ)
    found.forget()


@pytest.mark.parametrize("page", [name for name, path in PAGES.items() if has_work(path)])
def test_a_reader_can_do_what_the_page_does(page, reader):
    for block in blocks(PAGES[page].read_text(encoding="utf-8")):
        if block.language == "python" and block.title is None:
            block = Block(block.language, shrunk_python(block.code), None, block.skipped, block.line)
        try:
            reader.read(block, page)
        except AssertionError:
            raise
        except Exception as error:
            where = [
                f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__) if f.filename == page
            ]
            raise AssertionError(f"{page}, block at line {block.line} {where}: {error!r}") from error


def test_the_readers_see_what_is_wrong(reader):
    text = "```console\n$ fokker list grid\nkind ...\n```\n"
    with pytest.raises(AssertionError, match="prints no line"):
        reader.read(next(blocks(text)), "page")
    with pytest.raises(AssertionError, match="No such option"):
        reader.read(next(blocks("```sh\nfokker list --colour\n```\n")), "page")
    with pytest.raises(click.NoSuchOption):
        reader.read(next(blocks("<!-- not run: no data -->\n```sh\nfokker train --colour\n```\n")), "page")
    with pytest.raises(AssertionError, match="not there once"):
        patched("a\nb\n", "-c\n+d\n")
    assert patched("a\nb\nc\n", " a\n-b\n+d\n+e\n") == "a\nd\ne\nc\n"
    Path("test_wrong.py").write_text("def test_wrong():\n    assert False\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="1 failed"):
        reader.read(next(blocks("```sh\npytest test_wrong.py\n```\n")), "page")
    with pytest.raises(ZeroDivisionError):
        reader.read(next(blocks("```python\n1 / 0\n```\n")), "page")
    assert missing_line(["a", "...", "c"], ["a", "b", "c"]) is None
    assert missing_line(["c", "a"], ["a", "b", "c"]) == "a"
    assert missing_line(["a b"], ["a   b"]) is None


def test_training_and_sampling_are_made_smaller():
    assert shrunk(["train", "--steps", "2000"]) == ["train", "--steps", "4", "--set", "train.batch_size=8"]
    assert shrunk(["--quiet", "train"])[2:4] == ["--set", "train.steps=2"]
    assert shrunk(["sample", "run", "-n", "500", "--nfe", "20"]) == ["sample", "run", "-n", "8", "--nfe", "20"]
    assert shrunk(["encode", "run", "-n", "500", "--out", "z"]) == ["encode", "run", "--out", "z", "-n", "8"]
    assert shrunk(["likelihood", "run"]) == ["likelihood", "run", "-n", "8"]
    assert shrunk(["compare", "run"])[:4] == ["compare", "run", "-n", "8"]
    assert shrunk(["plan", "--steps", "2000"]) == ["plan", "--steps", "2000"]
