"""The errors that reach a user, and the exit code that each becomes.

    TocsinError                  what, where and how to mend it; never a secret in it
    ├── ConfigurationError       settings, topics or policy do not fit: retrying cannot help
    │   ├── FolderBusyError      another tocsin runs over this data folder
    │   └── InputError           what was given is wrong: arguments, settings, a file's content
    ├── TrimmedError             the brokers no longer have what a reader was to read next
    ├── LostError                state is lost, or contradicts the journal
    ├── UnavailableError         a broker, an engine or a file could not be reached in time
    │   └── ProgramFailedError   a supervised program ended too often, or must not be retried
    └── ClickHouseRefusedError   ClickHouse answered, and the answer was no
        └── ClickHouseLoginError     to who we are: retrying cannot help

A library's exception is translated where the library is called, with `from`.
"""

from __future__ import annotations

from tocsin.agents.settings.exits import Exit


class TocsinError(Exception):
    """Base of all. `mend` says what the user can do; it is part of the text."""

    exit_code: int = Exit.DIFFERENCE

    def __init__(self, message: str, *, mend: str = "") -> None:
        self.mend = mend
        super().__init__(f"{message}; {mend}" if mend else message)


class ConfigurationError(TocsinError):
    """Settings, topics, policy or conventions do not fit: mend, then start."""

    exit_code: int = Exit.CONFIGURATION


class FolderBusyError(ConfigurationError):
    """Another tocsin runs over this data folder."""


class InputError(ConfigurationError):
    """What was given is wrong: an argument, a setting, what a file says. Retrying cannot help."""

    exit_code: int = Exit.USAGE


class TrimmedError(TocsinError):
    """The brokers no longer have what a reader was to read next: it must not go on elsewhere."""

    exit_code: int = Exit.RESTORE


class LostError(TocsinError):
    """State or journal are lost, or contradict each other: no restart helps."""

    exit_code: int = Exit.RESTORE


class UnavailableError(TocsinError):
    """A broker, an engine or a file could not be reached in time: retrying may help."""

    exit_code: int = Exit.UNAVAILABLE


class ProgramFailedError(UnavailableError):
    """A supervised program ended and is not started again.

    `exit_code` is the program's own, where that is one of tocsin's meanings.
    """

    def __init__(self, message: str, *, exit_code: int, mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.exit_code = exit_code


class ClickHouseRefusedError(TocsinError):
    """ClickHouse refused a statement; `code` is its number for the reason, 0 if unknown."""

    exit_code: int = Exit.SINK

    def __init__(self, message: str, *, code: int = 0, mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.code = code


class ClickHouseLoginError(ClickHouseRefusedError):
    """ClickHouse does not know the user, or not by that password."""

    exit_code: int = Exit.CONFIGURATION
