"""The checks of fokker, each one a nox session.

`tests`, `conformance`, `types`, `demo` and `bench` share one environment, made by the session `environment`:
`nox -s tests` makes or refreshes it first, `nox -R -s tests` takes it as it is. `lint` and `docs` have small
environments without torch, `wheel` has a bare one that holds nothing but the built wheel and what it requires,
`mutants` one of its own, with cosmic-ray, and `bench-peers` one with the packages that fokker is compared with. Every
package of plugins/contrib has one, `contrib(NAME)`, and `together` has one with all of them.
"""

import json
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests", "docs", "wheel", "contrib", "together"]

ROOT = Path(__file__).parent
SOURCES = (ROOT / "src", ROOT / "plugins" / "builtin")
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHON_VERSIONS = nox.project.python_versions(PROJECT)
BUILT_IN = {"core", *PROJECT["project"]["entry-points"]["fokker"]}
SLOW = ("datasets", "diffusers", "librosa", "numpy", "pydantic", "pyarrow", "scipy", "torch", "torchsde", "webdataset")
CONTRIB = sorted(path.parent for path in (ROOT / "plugins" / "contrib").glob("*/pyproject.toml"))


def install(session: nox.Session, *what: str) -> None:
    """Installs `what` at the tested versions."""
    session.install("-c", "constraints.txt", *what)


def group(name: str) -> list[str]:
    """The requirements of one dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def run_shared(session: nox.Session, program: str, *args: str) -> None:
    """Runs a program of the shared environment."""
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    session.run(str(session.env_dir.parent / "environment" / scripts / program), *args, external=True)


@nox.session(reuse_venv=True)
def environment(session: nox.Session) -> None:
    """Make the environment that tests, types, demo and bench share."""
    install(session, "-e", ".", *group("test"), *group("types"))


@nox.session(python=False, requires=["environment"])
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    run_shared(session, "pytest", *session.posargs)


@nox.session(python=False, requires=["environment"])
def conformance(session: nox.Session) -> None:
    """Run the conformance kit on every built-in component, and on the defects that it should catch."""
    run_shared(session, "pytest", "tests/conformance", "tests/kit", *session.posargs)


@nox.session(python=False, requires=["environment"])
def types(session: nox.Session) -> None:
    """Check the types of the package and of the built-in plugins."""
    run_shared(session, "mypy", *session.posargs)


@nox.session(python=False, requires=["environment"])
def demo(session: nox.Session) -> None:
    """Train, sample and report in under two minutes; the page is demo/report.html."""
    run_shared(session, "fokker", "demo", "--out", "demo", "--force", *session.posargs)


@nox.session(python=False, requires=["environment"])
def bench(session: nox.Session) -> None:
    """Measure what benchmarks/ measures; run nothing else meanwhile."""
    options = ["--benchmark-enable", "--benchmark-columns=median,iqr,rounds"]
    run_shared(session, "pytest", "benchmarks", *options, *session.posargs)


@nox.session(name="bench-peers", reuse_venv=True)
def bench_peers(session: nox.Session) -> None:
    """Measure steps and quality beside other packages, in an environment that has them too."""
    install(session, "-e", ".", *group("peers"))
    for script in ("steps.py", "noise.py", "startup.py"):
        session.run("python", f"benchmarks/{script}", env={"OMP_NUM_THREADS": "1"})
    for part in ("flow", "laws", "noise"):
        session.run("python", "benchmarks/quality.py", part, env={"OMP_NUM_THREADS": "1"})


@nox.session(reuse_venv=True)
def mutants(session: nox.Session) -> None:
    """Break the formulas one place at a time and see a test fail; arguments after -- go to mutation/run.py."""
    install(session, "-e", ".", *group("mutants"))
    session.run("python", "mutation/run.py", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(python=PYTHON_VERSIONS)
def matrix(session: nox.Session) -> None:
    """Run the tests on every Python version that pyproject.toml claims, each in an environment of its own."""
    install(session, "-e", ".", *group("test"))
    session.run("pytest", *session.posargs)


@nox.session(reuse_venv=True)
@nox.parametrize("package", [nox.param(path.name, id=path.name) for path in CONTRIB])
def contrib(session: nox.Session, package: str) -> None:
    """Test a package of plugins/contrib and check its types, in an environment that has no other of them."""
    folder = ROOT / "plugins" / "contrib" / package
    install(session, "-e", ".", "-e", f"{folder}[test]", *group("types"))
    with session.chdir(folder):
        session.run("mypy", "src")
        session.run("pytest", *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session(reuse_venv=True)
def together(session: nox.Session) -> None:
    """Install all packages of plugins/contrib beside a broken one, and see how long `fokker plugins` takes."""
    install(session, "-e", ".", *(str(path) for path in CONTRIB))
    session.install("--no-deps", str(ROOT / "tests" / "packaging" / "broken"))
    tables = [nox.project.load_toml(path / "pyproject.toml") for path in CONTRIB]
    named = {name for table in tables for name in table["project"]["entry-points"]["fokker"]}
    expect_plugins(session, {**dict.fromkeys(BUILT_IN | named, "loaded"), "broken": "failed"})
    expect_quick(session, "plugins", seconds=0.5)


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a warning is an error."""
    install(session, *group("docs"))
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(reuse_venv=True)
def build(session: nox.Session) -> None:
    """Build the source archive, and the wheel from it, into dist/."""
    install(session, *group("wheel"))
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")


@nox.session(requires=["build"])
def wheel(session: nox.Session) -> None:
    """Install the wheel alone, see every built-in plugin load, and see a broken plugin break nothing else."""
    (archive,) = (ROOT / "dist").glob("*.whl")
    expect_all_sources(session, archive)
    install(session, str(archive))
    with session.chdir(session.create_tmp()):
        session.run("fokker", "--version")
        expect_plugins(session, dict.fromkeys(BUILT_IN, "loaded"))
        session.install("--no-deps", str(ROOT / "tests" / "packaging" / "broken"))
        expect_plugins(session, {**dict.fromkeys(BUILT_IN, "loaded"), "broken": "failed"})
        session.run("fokker", "list")
        session.run("fokker", "plan", "demo")
        expect_own_plugin(session)


def expect_own_plugin(session: nox.Session) -> None:
    """Does what an author does first: a package by `new-plugin`, installed, used, checked, then with a slip."""
    shutil.rmtree("fokker-leapfrog", ignore_errors=True)
    session.run("fokker", "new-plugin", "leapfrog", "--kind", "sampler")
    session.install("-c", str(ROOT / "constraints.txt"), "-e", "fokker-leapfrog[test]")
    expect_plugins(session, {**dict.fromkeys(BUILT_IN, "loaded"), "broken": "failed", "leapfrog": "loaded"})
    session.run("fokker", "train", "--data", "ring", "--steps", "20", "--out", "run", "--force", "--quiet")
    session.run(
        "fokker", "sample", "run", "--out", "x.npy", "-n", "8", "--sampler", "leapfrog", "--nfe", "9", "--force"
    )
    session.run("fokker", "check", "leapfrog", "--failed")
    session.run("pytest", "-q", "-r", "fE", "fokker-leapfrog")
    source = Path("fokker-leapfrog/src/fokker_leapfrog/sampler.py")
    slip = source.read_text().replace("w = 1 / (2 * self.ratio)", "w = 1 / (3 * self.ratio)")
    source.write_text(slip)
    said = session.run("fokker", "check", "leapfrog", "--failed", "--quiet", success_codes=[1], silent=True)
    if not re.search(r"^order\[vp.*failed +claims order 2, measured (0\.9|1\.0)", said, re.MULTILINE):
        session.error(f"a wrong coefficient is not named:\n{said}")
    session.log("a wrong coefficient: %s", next(line for line in said.splitlines() if line.startswith("order[")))


def expect_all_sources(session: nox.Session, archive: Path) -> None:
    """Compares the files of a wheel with the sources: code, recipes and all else."""
    paths = ((path, root) for root in SOURCES for path in root.rglob("*") if path.is_file())
    expected = {path.relative_to(root).as_posix() for path, root in paths if path.suffix != ".pyc"}
    shipped = {name for name in zipfile.ZipFile(archive).namelist() if ".dist-info/" not in name}
    if shipped != expected:
        session.error(f"the wheel lacks {sorted(expected - shipped)}, has too much {sorted(shipped - expected)}")


def expect_quick(session: nox.Session, *command: str, seconds: float) -> None:
    """Sees that a command of fokker takes no longer, the least of five, and imports none of what is slow."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        session.run("fokker", *command, silent=True)
        taken.append(time.perf_counter() - began)
    session.log("fokker %s: %.3f s", " ".join(command), min(taken))
    if min(taken) > seconds:
        session.error(f"fokker {' '.join(command)} took {min(taken):.2f} s, more than {seconds} s")
    said = session.run("python", "-X", "importtime", "-m", "fokker", *command, silent=True)
    slow = {name for name in SLOW if re.search(rf"\| +{name}$", said, re.MULTILINE)}
    if slow:
        session.error(f"fokker {' '.join(command)} imports {', '.join(sorted(slow))}")


def expect_plugins(session: nox.Session, expected: dict[str, str]) -> None:
    """Compares what `fokker plugins` says of each plugin with what it should say."""
    listed = json.loads(session.run("fokker", "plugins", "--json", silent=True))
    found = {plugin["name"]: plugin["status"] for plugin in listed}
    if found != expected:
        session.error(f"expected the plugins {expected}, found {found}: {listed}")
    silent = [plugin["name"] for plugin in listed if plugin["status"] == "loaded" and not plugin["components"]]
    if silent:
        session.error(f"loaded, but register no component: {', '.join(silent)}")
