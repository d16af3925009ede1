"""A check and its outcome; nothing that a strange file does to a check may end the others."""

from collections.abc import Callable
from dataclasses import dataclass

from audits.errors import AuditError
from dpsynth.errors import DPSynthError, IntegrityError

#: Longest message of one check; a forged file may hold a value of any length.
MOST_CHARACTERS = 600


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it held, and one line that says what was looked at or found.

    Name and message are made one printable line: they may quote a file from a stranger.
    """

    name: str
    ok: bool
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name))
        object.__setattr__(self, "message", one_line(self.message))


@dataclass(frozen=True)
class Verification:
    """All checks of one bundle, in the order they were made."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check held."""
        return all(check.ok for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not hold."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def exit_code(self) -> int:
        """0 if every check held; else that of `IntegrityError`."""
        return 0 if self.ok else IntegrityError.exit_code


def one_line(text: str) -> str:
    """The text as one line that any terminal can show, cut where it is very long."""
    flat = " ".join(text.split())
    safe = "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in flat)
    return safe if len(safe) <= MOST_CHARACTERS else f"{safe[: MOST_CHARACTERS - 3]}..."


def held(name: str, run: Callable[[], str]) -> Check:
    """The check that holds if `run` gives a message, and fails with the error that it raises."""
    try:
        return Check(name, True, run())
    except Exception as error:
        return Check(name, False, why(error))


def why(error: Exception) -> str:
    """What an error says in one line.

    One that nobody foresaw is a finding too: the file it came from is none that dpsynth wrote, and
    the other checks must still be made.
    """
    if isinstance(error, DPSynthError | AuditError):
        return str(error)
    return f"cannot be judged ({type(error).__name__}: {error}); it is not as dpsynth wrote it"
