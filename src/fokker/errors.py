"""What can go wrong, seen from outside: each class is one exit code and one line for the user.

A message says what was asked, what is there and what to do. Everything that a user cannot mend stays an
ordinary exception with its traceback.
"""

__all__ = [
    "ConfigError",
    "DataError",
    "FokkerError",
    "PluginError",
    "RunError",
    "SingularError",
    "TrainingError",
]


class FokkerError(Exception):
    """An error that a user can mend; the command line prints its message as one line."""

    exit_code = 1


class ConfigError(FokkerError):
    """A wrong name, value, or combination of components (exit code 2)."""

    exit_code = 2


class PluginError(FokkerError):
    """A plugin that could not be loaded or broke a rule of the registry (exit code 3)."""

    exit_code = 3


class DataError(FokkerError):
    """A file or array that cannot be read as the data that was asked for."""


class RunError(FokkerError):
    """A run folder or checkpoint that is missing, damaged, or would be overwritten."""


class TrainingError(FokkerError):
    """Training that must not go on: a loss or gradient that is not finite."""


class SingularError(FokkerError, ArithmeticError):
    """A quantity asked for where it does not exist, such as `eps` from `x0` at `sigma = 0`."""
