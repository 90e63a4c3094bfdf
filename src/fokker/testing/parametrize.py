"""The conformance kit as pytest tests: one test for each check."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fokker.errors import ConfigError
from fokker.testing.check import Check, CheckFailed, NotApplicable
from fokker.testing.suites import checks_for

if TYPE_CHECKING:
    from pytest import MarkDecorator

__all__ = ["conformance"]


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
    params = []
    for check in checks:
        reason = expected.get(check.name)
        marks = [] if reason is None else [pytest.mark.xfail(reason=reason, raises=CheckFailed, strict=True)]
        params.append(pytest.param(_as_test(check), marks=marks, id=f"{check.component}-{check.name}"))
    return pytest.mark.parametrize("check", params)


def _as_test(check: Check) -> Callable[[], Any]:
    def test() -> None:
        __tracebackhide__ = True
        import pytest

        try:
            check()
        except NotApplicable as reason:
            pytest.skip(str(reason))

    test.__doc__ = check.sentence
    return test
