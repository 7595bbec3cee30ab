"""Exit codes, and the errors that carry them. `tally.cli` turns one into the other."""

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """What a finished command says to the shell. Scripts build on these numbers."""

    OK = 0
    INTERNAL = 1
    """A fault of ours: the traceback is on stderr."""
    USAGE = 2
    """Wrong words, or a question to ask and no terminal to ask it on."""
    NOT_FOUND = 3
    REFUSED = 4
    """Refused and dropped, or expired: it will not become final by itself."""
    NOT_CERTAIN = 5
    """Pending: it may still become final."""
    KEY = 6
    """A key is missing, locked, damaged or not allowed to do this."""
    UNREACHABLE = 7
    """No answer, or the node has seen no quorum for 5 s."""
    FINDING = 8
    """An audit found what no honest ledger writes."""
    UNVERIFIABLE = 9
    """An audit needs what nobody here has: other rules, the keys of a set of validators."""
    INCOMPLETE = 10
    """An audit's source ends too early, or lacks a part; what is there is sound."""
    INTERRUPTED = 130


class TallyError(Exception):
    """A failure with a plain sentence for people and an exit code for programs."""

    default: ClassVar[Exit] = Exit.INTERNAL

    def __init__(
        self,
        message: str,
        code: Exit | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default if code is None else code
        self.details = dict(details or {})
        """Typed values for programs: the refusal's code, the transaction id, until when."""


class UsageError(TallyError):
    """The command can't be understood or carried out as it was typed."""

    default = Exit.USAGE


class NotFound(TallyError):
    """What was named does not exist."""

    default = Exit.NOT_FOUND


class Refused(TallyError):
    """The ledger said no, for certain."""

    default = Exit.REFUSED


class NotCertain(TallyError):
    """The outcome is open: say the transaction id, until when, and how to wait."""

    default = Exit.NOT_CERTAIN


class KeyTrouble(TallyError):
    """A key can't be used."""

    default = Exit.KEY


class Unreachable(TallyError):
    """Nobody answers, or there is no quorum."""

    default = Exit.UNREACHABLE


class AuditFinding(TallyError):
    """An audit disagrees with what it was given."""

    default = Exit.FINDING


class Unverifiable(TallyError):
    """An audit could not say: something that it needs is unknown here."""

    default = Exit.UNVERIFIABLE


class Incomplete(TallyError):
    """An audit's source ends before what was asked for."""

    default = Exit.INCOMPLETE
