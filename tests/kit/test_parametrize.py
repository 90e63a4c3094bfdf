import pytest

from fokker.errors import ConfigError
from fokker.grid import Uniform
from fokker.testing import checks_for, conformance
from fokker_ddpm.ddim import DDIM

pytest_plugins = ["pytester"]

FILE = """
from fokker.component import component
from fokker.testing import conformance
from fokker_ddpm.ddim import DDIM

@component
class Wrong(DDIM):
    '''A sampler whose order is lost.

    Args:
        eta: As for DDIM.
    '''

    def coefficients(self, p, t, s):
        return {**super().coefficients(p, t, s), "x0": p.alpha(t)}

@conformance(DDIM(), DDIM(eta=0.5))
def test_sound(check):
    check()

@conformance(Wrong())
def test_wrong(check):
    check()

@conformance(Wrong(), expected_failures={"order[vp]": "a known slip", "replayable": "no slip at all"})
def test_known(check):
    check()
"""


def test_each_check_is_a_test_of_its_own(pytester):
    pytester.makepyfile(FILE)
    listed = pytester.runpytest("--collect-only", "-q", "-k", "sound").stdout.str()
    for component in (DDIM(), DDIM(eta=0.5)):
        for check in checks_for(component):
            assert f"test_sound[{check.component}-{check.name}]\n" in listed


def test_a_failure_is_one_sentence_and_a_skip_has_its_reason(pytester):
    pytester.makepyfile(FILE)
    result = pytester.runpytest("-rs", "-k", "(test_sound or test_wrong) and order and vp and not sub and not uneven")
    result.stdout.fnmatch_lines(["predictor Wrong: claims order 1, measured *"])
    result.stdout.fnmatch_lines(["SKIPPED*it claims no weak order"])
    result.stdout.no_fnmatch_line("*_at_least*")
    # order, weak-order and strong-order of three components
    result.assert_outcomes(passed=1, failed=1, skipped=7)


def test_expected_failures_are_strict(pytester):
    pytester.makepyfile(FILE)
    result = pytester.runpytest("-k", "known and (vp or replayable) and not weak and not strong and not accuracy")
    outcomes = result.parseoutcomes()
    assert outcomes["xfailed"] == 1
    result.stdout.fnmatch_lines(["*XPASS(strict)*no slip at all*"])


def test_an_expected_failure_must_be_a_check():
    with pytest.raises(ConfigError, match=r"expected_failures names order\[vq\]"):
        conformance(Uniform(), expected_failures={"order[vq]": "typo"})
