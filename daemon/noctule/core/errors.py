"""The one exception family. Imports nothing of Noctule.

Every error a user can meet carries one sentence that says what is wrong and where, and a hint that says what
to do. `str(error)` is the sentence; `error.hint` may be empty. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations


class NoctuleError(Exception):
    """Base of the family. `exit_code` is what a command exits with when the error reaches it."""

    exit_code = 1
    #: HTTP status the control API answers with.
    http_status = 500
    #: machine-readable name in API answers and journal fields.
    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def explain(self) -> str:
        """The sentence, with the hint on the same line when there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


def handed_over(error: NoctuleError) -> NoctuleError:
    """The error for another thread's future: without the frames it came through.

    A future keeps its error, the frames of a traceback keep what they worked on, and that often keeps the future: a
    circle that holds a whole synthesis until the garbage collector's next full round, which may be ten minutes away.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


class ConfigError(NoctuleError):
    """One or more mistakes in the configuration; exits 78 (EX_CONFIG), which systemd does not restart."""

    exit_code = 78
    http_status = 400
    code = "config"

    def __init__(self, problems: list[str], hint: str = "") -> None:
        super().__init__("\n".join(problems), hint)
        self.problems = problems


class InputError(NoctuleError):
    """What the caller gave (a prompt, a file, an argument, a request) cannot be used."""

    exit_code = 65
    http_status = 400
    code = "input"


class TooLargeError(InputError):
    """The input is beyond a stated bound."""

    http_status = 413
    code = "too-large"


class ModelError(NoctuleError):
    """A model package is broken, of the wrong kind, or cannot run here."""

    exit_code = 66
    code = "model"


class DeviceError(NoctuleError):
    """A microphone, camera, display or loudspeaker is missing, busy, forbidden or dead."""

    exit_code = 69
    http_status = 503
    code = "device"


class BusyError(NoctuleError):
    """A bounded queue is full; try again later."""

    exit_code = 75
    http_status = 503
    code = "busy"


class CancelledError(NoctuleError):
    """The caller, or shutdown, asked for the work to stop."""

    exit_code = 130
    http_status = 499
    code = "cancelled"


class ForbiddenError(NoctuleError):
    """Who asks may not. (EX_NOPERM)"""

    exit_code = 77
    http_status = 403
    code = "forbidden"


class UnavailableError(NoctuleError):
    """A part is switched off, not configured, or degraded beyond use."""

    exit_code = 69
    http_status = 503
    code = "unavailable"
