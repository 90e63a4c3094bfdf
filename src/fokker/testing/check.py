"""Checks: facts about a component, each of which can be tested on its own.

    Suite      the properties that everything with one interface should have
    Check      one property of one component in one case, ready to run
    Outcome    what came of it

A check fails with one sentence that says what was claimed and what was measured. Where it has nothing to say of a
component it is skipped with its reason, never dropped.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, overload

from fokker.errors import ConfigError
from fokker.plugins.registry import one_line

__all__ = [
    "Body",
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Outcome",
    "Status",
    "Suite",
    "expect",
    "refused",
    "run",
    "summarise",
]

Body: TypeAlias = Callable[..., str | None]
"""Tests a component, or a component and a case: returns what it measured, if that is worth reading, or raises."""

Status = Literal["passed", "failed", "skipped", "xfailed"]


class CheckFailed(AssertionError):
    """A component does not do what it should; the message is one sentence with the claim and the measurement."""


class NotApplicable(Exception):
    """A check has nothing to say of a component; the message is the reason."""


def expect(condition: bool, message: str) -> None:
    """Fail the running check with this sentence unless the condition holds.

    Raises:
        CheckFailed: If it does not.
    """
    if not condition:
        raise CheckFailed(message)


@dataclass(frozen=True)
class Check:
    """One property of one component.

    Calling it runs it on one thread, without a trace in torch's global generator.

    Args:
        component: What the component is called in reports.
        name: The property's name, with its case in brackets, such as `order[vp]`.
        sentence: What should hold.
        body: The test itself.
    """

    component: str
    name: str
    sentence: str
    body: Callable[[], str | None]

    def __call__(self) -> str:
        """Run.

        Returns:
            What was measured; empty where there is nothing to tell.

        Raises:
            CheckFailed: If the property does not hold; whatever the component itself raises ends here too.
            NotApplicable: If the check has nothing to say of this component.
        """
        import torch

        __tracebackhide__ = True
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the tensors are small: a second thread is waited for longer than it helps
        try:
            with torch.random.fork_rng(devices=[]):
                return self.body() or ""
        except (CheckFailed, NotApplicable):
            raise
        except Exception as error:
            raise CheckFailed(f"raised {one_line(error)}") from error
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Args:
        component: What the component is called.
        check: Name of the check.
        status: `xfailed` is a failure that was expected.
        detail: What was measured, why it failed, or why it was skipped.
        seconds: How long it took.
    """

    component: str
    check: str
    status: Status
    detail: str
    seconds: float


def run(check: Check, expected_failures: Mapping[str, str] | None = None) -> Outcome:
    """Run a check and tell what came of it; nothing is raised.

    Args:
        check: The check.
        expected_failures: Reasons by the names of checks that are known to fail. They are strict: one that passes is
            a failure, so that the list is kept true.
    """
    start = time.perf_counter()
    expected = (expected_failures or {}).get(check.name)
    status: Status
    try:
        status, detail = "passed", check()
        if expected is not None:
            status, detail = "failed", f"expected to fail ({expected}), but it passes: take it off the list"
    except NotApplicable as reason:
        status, detail = "skipped", str(reason)
    except CheckFailed as failure:
        status, detail = ("failed", str(failure)) if expected is None else ("xfailed", f"{expected}: {failure}")
    return Outcome(check.component, check.name, status, " ".join(detail.split()), time.perf_counter() - start)


def summarise(outcomes: Iterable[Outcome]) -> str:
    """Counts in words, such as `31 checks: 29 passed, 2 skipped`."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    total = sum(counts.values())
    parts = [f"{counts[s]} {s}" for s in ("passed", "failed", "xfailed", "skipped") if s in counts]
    return f"{total} {'check' if total == 1 else 'checks'}: {', '.join(parts) or 'nothing ran'}"


@dataclass(frozen=True)
class _Property:
    name: str
    sentence: str
    body: Body
    over: Mapping[str, Any] | None


@dataclass(frozen=True)
class Suite:
    """The properties that everything with one interface should have.

    A property is a function that takes the component, named for the fact that it tests, with one sentence of docstring;
    `check` adds it. One that should hold in several cases, such as on several perturbations, takes the case too.

        suite = Suite(Sampler)

        @suite.check(over=PERTURBATIONS)
        def order(sampler, perturbation):
            '''Has the order that it claims.'''

    Args:
        interface: The class, or the protocol that can be checked at runtime, whose instances are tested.
        observe: What such a component does in a small standard run, as a list of tensors, numbers and texts; if given,
            every field of the component must be able to change it.
    """

    interface: type[Any]
    observe: Callable[[Any], list[Any]] | None = None
    _properties: list[_Property] = field(default_factory=list, init=False)

    @overload
    def check(self, body: Body, /) -> Body: ...
    @overload
    def check(self, /, *, over: Mapping[str, Any] | None = None) -> Callable[[Body], Body]: ...
    def check(self, body: Body | None = None, /, *, over: Mapping[str, Any] | None = None) -> Any:
        """Add a property.

        Args:
            body: The function.
            over: The cases by name, each passed as the second argument.
        """
        if body is None:
            return lambda b: self._add(b, over)
        return self._add(body, over)

    def _add(self, body: Body, over: Mapping[str, Any] | None) -> Body:
        name = body.__name__.replace("_", "-")
        sentence = " ".join((body.__doc__ or "").split("\n\n")[0].split())
        if not sentence:
            raise TypeError(f"The property {name} needs a docstring that says in one sentence what holds.")
        if name in (p.name for p in self._properties):
            raise TypeError(f"There is a property {name} already.")
        self._properties.append(_Property(name, sentence, body, over))
        return body

    def checks(self, component: object, label: str) -> Iterator[Check]:
        """The checks of a component; none unless it has the interface.

        Args:
            component: The component.
            label: What it is called in reports.
        """
        if not isinstance(component, self.interface):
            return
        for p in self._properties:
            if p.over is None:
                yield Check(label, p.name, p.sentence, _bind(p.body, component))
            else:
                for case, value in p.over.items():
                    yield Check(label, f"{p.name}[{case}]", p.sentence, _bind(p.body, component, value))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Names and sentences of the properties, in their order."""
        return ((p.name, p.sentence) for p in self._properties)


def _bind(body: Body, *args: Any) -> Callable[[], str | None]:
    def bound() -> str | None:
        __tracebackhide__ = True
        return body(*args)

    return bound


def refused(action: Callable[[], Any]) -> Any:
    """The result of something that a component may refuse, which makes the check not applicable.

    Raises:
        NotApplicable: With the component's own reason.
    """
    try:
        return action()
    except ConfigError as error:
        raise NotApplicable(f"refused: {error}") from error
