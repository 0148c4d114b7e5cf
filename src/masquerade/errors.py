"""What can go wrong, said for people.

Every error that a user can cause or meet is a `MasqueradeError`: one line that names the file and the way out, and a
`code` that stays the same between versions so that scripts may rely on it. Anything else that escapes is a bug.
"""

from pathlib import Path
from typing import ClassVar


class MasqueradeError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: what happened, one line, without the file's name.
        path: the file it happened to, if there is one.
        hint: what the user can do about it, one line.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, path: Path | str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.path = None if path is None else Path(path)
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path is not None else ""
        out = f". {self.hint}" if self.hint else ""
        return f"{where}{self.message}{out}"


class MachineError(MasqueradeError):
    """The operating system refused what nobody foresaw that it might. Its `__cause__` is what was raised."""

    code = "machine"

    def __init__(self, cause: OSError, *, path: Path | str | None = None) -> None:
        super().__init__(cause.strerror or str(cause), path=cause.filename or path)
        self.__cause__ = cause


class UnexpectedError(MasqueradeError):
    """What nobody foresaw: a bug. Its `__cause__` is what was raised."""

    code = "bug"

    def __init__(self, cause: BaseException, *, path: Path | str | None = None) -> None:
        said = " ".join(str(cause).split())
        hint = "This is a bug: please report it with what `python -X dev -m masquerade ...` shows"
        super().__init__(f"unexpected {type(cause).__name__}: {said}", path=path, hint=hint)
        self.__cause__ = cause


class InputError(MasqueradeError):
    """The input is missing, empty, damaged, too large, or of a kind that cannot be read."""

    code = "bad-input"


class PairError(InputError):
    """Two files are not an original and what was made of it: other size, frames, times, sound, or scene."""

    code = "bad-pair"


class OutputError(MasqueradeError):
    """The output cannot be written there: no permission, no space, or it would overwrite the input."""

    code = "bad-output"


class PlanError(MasqueradeError):
    """A Plan is malformed, of another version, or belongs to another input."""

    code = "bad-plan"


class OptionError(MasqueradeError):
    """An option's value makes no sense, alone or beside another."""

    code = "bad-option"


class WeightsError(MasqueradeError):
    """Weights cannot be had: no network, wrong hash, or a licence that was not accepted."""

    code = "no-weights"


class EngineError(MasqueradeError):
    """The inference engine or execution provider asked for is not the one that would run."""

    code = "no-engine"


class FaceError(MasqueradeError):
    """Boxes, landmarks or crops handed in are not finite, not in range, or of the wrong shape."""

    code = "bad-face"


class BankError(MasqueradeError):
    """A bank of fabricated faces is damaged, of another encoder, or too small for the people who need a face."""

    code = "bad-bank"


class VaultError(MasqueradeError):
    """A vault or its key cannot be used: wrong key, changed file, unsafe place, or its library is missing."""

    code = "bad-vault"
