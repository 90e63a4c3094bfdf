"""Break the formulas one place at a time and look whether a test fails.

cosmic-ray makes the mutants; here each one is imported in place of its module, in a process of its own, and meets the
tests that mutants.toml names for it. The processes are forked after torch is imported and before fokker is, so that a
mutant costs its tests and little more. No file is changed. See README.md beside this file.
"""

import argparse
import importlib
import multiprocessing
import os
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from hypothesis import HealthCheck, Phase, settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CONFIG = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))

PRELOADED = ("annotated_types", "hypothesis.strategies", "numpy", "sympy", "torch.distributed", "torch.testing")
"""What the tests import and no mutant changes."""

PYTEST = (
    "-qq",
    "--exitfirst",
    "--tb=short",
    "--assert=plain",
    "--disable-plugin-autoload",
    "-pno:cacheprovider",
    "--override-ini=addopts=--import-mode=importlib",
)
"""No plugins, no rewritten asserts: a verdict is wanted, soon."""


VERDICTS = ("killed", "timed out", "survived")


@dataclass(frozen=True)
class Mutant:
    """A module with one change: the changed line as it was and as it is, and the whole text."""

    path: str
    number: int
    was: str
    line: str
    code: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}\n  - {self.was}\n  + {self.line}"


@dataclass(frozen=True)
class Trial:
    """A mutant with the process of its tests, what they print, and when they are stopped."""

    mutant: Mutant
    process: ForkProcess
    log: Path
    deadline: float

    def verdict(self) -> str | None:
        """One of VERDICTS; None while the tests run."""
        status = self.process.exitcode
        if status is None and time.monotonic() < self.deadline:
            return None
        if status is None:
            os.killpg(self.process.ident, signal.SIGKILL)
            self.process.join()
            return "timed out"
        return "survived" if status == pytest.ExitCode.OK else "killed"


class Replaced(SourceFileLoader):
    """A finder and loader that imports one module from a text that is not the one on disk."""

    def __init__(self, mutant: Mutant) -> None:
        name = mutant.path.removeprefix("src/").removeprefix("plugins/builtin/").removesuffix(".py")
        super().__init__(name.replace("/", "."), str(ROOT / mutant.path))
        self.code = mutant.code

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Only the one module's."""
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        """Compiled afresh: a cached file would be taken for the module's own."""
        return compile(self.code, self.path, "exec", dont_inherit=True)


def mutants(path: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    source = (ROOT / path).read_text(encoding="utf-8")
    nodes = list(ast_nodes(get_ast(source)))
    for name in CONFIG["operators"]:
        operator = get_operator(f"core/{name}")()
        places = [node for node in nodes for _ in operator.mutation_positions(node)]
        for occurrence, node in enumerate(places):
            if node.parent is not None and node.parent.type == "parameters":
                continue  # the star before keyword arguments is no product
            code = mutate_code(source, operator, occurrence)
            lines = zip(source.splitlines(), code.splitlines(), strict=True)
            number, was, line = next((k, a, b) for k, (a, b) in enumerate(lines, start=1) if a != b)
            yield Mutant(path, number, was.strip(), line.strip(), code)


def meet_tests(mutant: Mutant, log: Path) -> None:
    """Runs the tests of a mutant's module, and ends the process with pytest's exit status."""
    os.setsid()  # so that what a test starts can be stopped with it
    with log.open("w", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        sys.meta_path.insert(0, Replaced(mutant))
        status = pytest.main([*PYTEST, *CONFIG["tests"][mutant.path]])
    os._exit(status)


def start(mutant: Mutant, log: Path) -> Trial:
    """Gives a mutant a process."""
    process = multiprocessing.get_context("fork").Process(target=meet_tests, args=(mutant, log))
    process.start()
    return Trial(mutant, process, log, time.monotonic() + CONFIG["timeout"])


def judge(waiting: Iterable[Mutant], jobs: int) -> Iterator[tuple[Mutant, str, str]]:
    """Each mutant with its verdict and what its tests printed, in the order in which they end."""
    with TemporaryDirectory() as folder:
        todo = iter(enumerate(waiting))
        trials: list[Trial] = []
        while True:
            while len(trials) < jobs and (following := next(todo, None)):
                trials.append(start(following[1], Path(folder, f"{following[0]}.log")))
            if not trials:
                return
            wait([trial.process.sentinel for trial in trials], timeout=1)
            verdicts = [(trial, trial.verdict()) for trial in trials]
            trials = [trial for trial, verdict in verdicts if verdict is None]
            for trial, verdict in verdicts:
                if verdict is not None:
                    yield trial.mutant, verdict, trial.log.read_text(encoding="utf-8")


def expect_passing(paths: Sequence[str], jobs: int) -> None:
    """Ends the program where tests fail without a mutant, which would make every mutant look killed."""
    whole = [Mutant(path, 1, "", "", (ROOT / path).read_text(encoding="utf-8")) for path in paths]
    for mutant, verdict, log in judge(whole, jobs):
        if verdict != "survived":
            sys.exit(f"The tests of {mutant.path} fail without a mutant.\n{log}")


def explanations() -> dict[tuple[str, str], str]:
    """Why a mutant may survive, by its module and its changed line."""
    groups = tomllib.loads((HERE / "survivors.toml").read_text(encoding="utf-8"))["survivors"]
    return {(group["module"], line): group["why"] for group in groups for line in group["mutants"]}


def prepare() -> None:
    """What all processes share: the folder, the libraries, and few examples that are the same in every process."""
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    settings.register_profile(
        "mutants",
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for name in PRELOADED:
        importlib.import_module(name)


def print_counts(counts: dict[str, Counter[str]]) -> None:
    """A table of the verdicts, with a line for each module and one for all."""
    print(f"\n{'module':52}{'mutants':>10}" + "".join(f"{verdict:>11}" for verdict in VERDICTS))
    for path, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{path:52}{count.total():10}" + "".join(f"{count[verdict]:11}" for verdict in VERDICTS))


def main() -> None:
    """Run the mutants of some modules or of all; fail where the survivors are not those of survivors.toml."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("modules", nargs="*", help="paths as in mutants.toml; all unless given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time; one for each core")
    arguments = parser.parse_args()
    paths, jobs = arguments.modules or list(CONFIG["tests"]), arguments.jobs
    if unknown := set(paths) - set(CONFIG["tests"]):
        parser.error(f"mutants.toml names no tests for {', '.join(sorted(unknown))}")

    begin = time.monotonic()
    prepare()
    expect_passing(paths, jobs)
    explained = {key: why for key, why in explanations().items() if key[0] in paths}
    survivors = set()
    counts = {path: Counter[str]() for path in paths}
    for mutant, verdict, _ in judge((mutant for path in paths for mutant in mutants(path)), jobs):
        counts[mutant.path][verdict] += 1
        if verdict == "survived":
            survivors.add((mutant.path, mutant.line))
            print(f"{mutant}\n  {explained.get((mutant.path, mutant.line), 'UNEXPLAINED')}", flush=True)
        elif verdict == "timed out":
            print(f"{mutant}\n  timed out", flush=True)

    print_counts(counts)
    total = sum(counts.values(), Counter())
    minutes, busy = (time.monotonic() - begin) / 60, sum(os.times()[:4]) / 60
    print(
        f"\n{1 - total['survived'] / total.total():.1%} noticed in {minutes:.0f} minutes, {busy:.0f} of processor time"
    )
    for path, line in sorted(survivors - explained.keys()):
        print(f"survivors.toml does not explain a mutant of {path} that survives: {line}")
    for path, line in sorted(explained.keys() - survivors):
        print(f"survivors.toml explains a mutant of {path} that is noticed, or gone: {line}")
    sys.exit(1 if survivors != explained.keys() else 0)


if __name__ == "__main__":
    main()
