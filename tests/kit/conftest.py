import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "mutants"


def load(path):
    spec = importlib.util.spec_from_file_location(f"fokker_mutants_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTANTS


# What is wrong with each mutant: (the component it was made from, the mutant, the check that is meant for it)
MUTANTS = {
    f"{path.stem}: {what}": planted for path in sorted(FOLDER.glob("*.py")) for what, planted in load(path).items()
}


def pytest_generate_tests(metafunc):
    if "mutant" in metafunc.fixturenames:
        metafunc.parametrize("mutant", [pytest.param(planted, id=what) for what, planted in MUTANTS.items()])


@pytest.fixture
def mutants():
    return MUTANTS
