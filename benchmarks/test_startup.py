"""How long a command that needs no torch takes from the shell and back."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark(group="start")


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["list"]], ids=" ".join)
def test_start(benchmark, arguments):
    """`fokker ...` in a new process, the interpreter's own start included."""
    command = [Path(sys.executable).with_name("fokker"), *arguments]
    benchmark.pedantic(subprocess.run, [command], {"check": True, "capture_output": True}, rounds=10, warmup_rounds=1)


def test_start_of_python(benchmark):
    """The interpreter alone: what no command can be quicker than."""
    benchmark.pedantic(subprocess.run, [[sys.executable, "-c", ""]], {"check": True}, rounds=10, warmup_rounds=1)
