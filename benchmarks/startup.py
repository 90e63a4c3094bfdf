"""How long `fokker --help` takes beside an interpreter that imports click and does nothing.

    python benchmarks/startup.py [--rounds 9] [--json]

The least of the rounds, the commands in turn, each in a new process.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from interleave import interleaved


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    fokker = str(Path(sys.executable).with_name("fokker"))
    commands = {
        "python -c ''": [sys.executable, "-c", ""],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
        "fokker --help": [fokker, "--help"],
        "fokker list": [fokker, "list"],
        "fokker plugins": [fokker, "plugins"],
    }

    def starting(command: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(command, check=True, capture_output=True)

    found = interleaved({name: starting(command) for name, command in commands.items()}, options.rounds)
    rows = {name: {"ms": 1e3 * timing.least} for name, timing in found.items()}
    for row in rows.values():
        row["ratio"] = row["ms"] / rows["python -c 'import click'"]["ms"]
    if options.json:
        print(json.dumps(rows))
        return
    for name, row in rows.items():
        print(f"{name:26}{row['ms']:8.0f} ms{row['ratio']:8.2f}")


if __name__ == "__main__":
    main()
