"""The errors a person can cause: one parent, few children, an exit code each.

A message says, in one line: what was wrong, where (file, row, column), the value found, what is
allowed, and how to mend it.
"""


class DPSynthError(Exception):
    """Parent of every error that dpsynth raises on purpose."""

    exit_code = 1


class InputError(DPSynthError, ValueError):
    """A wrong argument, file or table (exit code 2)."""

    exit_code = 2


class SchemaError(InputError):
    """A schema that is wrong in itself or does not fit the table (exit code 2)."""


class IntegrityError(InputError):
    """A model, bundle or ledger file that was cut short or changed after it was written."""


class BudgetExceeded(DPSynthError):
    """The ledger refuses a charge: the privacy budget would be overspent (exit code 3)."""

    exit_code = 3


class ReleaseRefused(DPSynthError):
    """The policy could not allow this release, whatever came of it (exit code 3)."""

    exit_code = 3


class UnsupportedEvent(DPSynthError):
    """An accountant met an event it does not know; it refuses rather than approximates."""


class NonFiniteTraining(DPSynthError):
    """Training produced a value that is not finite; the ledger keeps the charge."""
