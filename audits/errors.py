"""The errors an audit raises on purpose: one parent, few children.

A message says, in one line: what was wrong, where (table, column, row), the value found, what is
allowed, and how to mend it.
"""


class AuditError(Exception):
    """Parent of every error that audits raises on purpose."""

    exit_code = 1


class AuditInputError(AuditError, ValueError):
    """A wrong argument, table or result file (exit code 2)."""

    exit_code = 2


class AttackError(AuditError):
    """A registered attack broke its contract: wrong names, wrong shape, or scores not finite."""
