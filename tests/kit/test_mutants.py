"""The kit is tested by components with one defect each: the check meant for it must fail, and pass without it."""

from fokker.testing import checks_for, run
from fokker.testing.suites import suites


def outcome(component, name):
    (check,) = [c for c in checks_for(component) if c.name == name]
    return run(check)


def test_a_defect_fails_the_check_meant_for_it(mutant):
    _, defective, check = mutant
    found = outcome(defective, check)
    assert found.status == "failed", found


def test_without_the_defect_the_check_passes(mutant):
    sound, _, check = mutant
    found = outcome(sound, check)
    assert found.status == "passed", found


def test_every_check_has_a_mutant(mutants):
    caught = {check.partition("[")[0] for _, _, check in mutants.values()}
    named = {name for _, suite in suites() for name, _ in suite} | {"field"}
    assert named - caught == set()
