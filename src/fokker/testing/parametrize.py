"""The conformance kit as pytest tests: one test for each check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fokker.errors import ConfigError
from fokker.testing.check import Check, CheckFailed, NotApplicable
from fokker.testing.suites import checks_for

if TYPE_CHECKING:
    from pytest import MarkDecorator

__all__ = ["CheckTest", "conformance"]


def conformance(*components: object, expected_failures: Mapping[str, str] | None = None) -> "MarkDecorator":
    """Make a test that takes `check` one test for every check of these components.

        @conformance(Leapfrog(), Leapfrog(damping=0.5))
        def test_leapfrog(check):
            check()

    A check that does not apply is a skipped test with its reason. A property that is known not to hold is listed with
    its reason; the list is strict, so that a check on it which passes is a failure.

    Args:
        components: Instances of components, or score models.
        expected_failures: Reasons by the names of checks, such as `{"order[ve]": "sigma is not smooth"}`.

    Raises:
        ConfigError: If `expected_failures` names no check of these components.
    """
    import pytest

    expected = expected_failures or {}
    checks = [check for component in components for check in checks_for(component)]
    unknown = sorted(set(expected) - {check.name for check in checks})
    if unknown:
        raise ConfigError(f"expected_failures names {', '.join(unknown)}, which is no check of these components.")
    failures = (CheckFailed, pytest.fail.Exception)
    params = []
    for check in checks:
        reason = expected.get(check.name)
        marks = [] if reason is None else [pytest.mark.xfail(reason=reason, raises=failures, strict=True)]
        params.append(pytest.param(CheckTest(check), marks=marks, id=f"{check.component}-{check.name}"))
    return pytest.mark.parametrize("check", params)


@dataclass(frozen=True)
class CheckTest:
    """What a test made by `conformance` gets as `check`: call it.

    Args:
        check: The check itself, with its component, name and sentence.
    """

    check: Check

    def __call__(self) -> None:
        """Run the check; skip the test where it does not apply, and fail it with one sentence.

        Raises:
            CheckFailed: If the component itself raised something.
        """
        __tracebackhide__ = True
        import pytest

        try:
            self.check()
        except NotApplicable as reason:
            pytest.skip(str(reason))
        except CheckFailed as failure:
            if failure.__cause__ is not None:  # the component itself raised something: where, matters
                raise
            pytest.fail(f"{self.check.component}: {failure}", pytrace=False)
