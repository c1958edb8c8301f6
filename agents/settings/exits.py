"""Exit codes of every tocsin command: what a supervisor or a script may conclude from them."""

from __future__ import annotations

import os
import sys
from enum import IntEnum, unique


@unique
class Exit(IntEnum):
    """One meaning per number; documented in the README and never reused."""

    OK = 0
    DIFFERENCE = 1  # the command worked and found a difference or an unhealthy thing
    USAGE = 2  # arguments, settings or what a file says are wrong: retrying cannot help
    UNAVAILABLE = 3  # a broker, an engine or a file could not be reached
    INTERRUPTED = 4  # stopped by the user before the work was done
    LOGIC_VERSION = 5  # replayed under another version of the domain logic than recorded
    TRANSACTION = 70  # a Kafka transaction failed or was fenced: restart is safe
    RESTORE = 71  # state or records are lost, or contradict the journal: no restart helps
    AGENT = 72  # an agent failed with a defect: the record was not processed
    CONFIGURATION = 73  # topics, partitions, history, login or rights do not fit: mend, then start
    SINK = 74  # the audit sink could not go on


def die(code: Exit, message: str) -> None:
    """End the process at once, without clean-up: memory may be ahead of the log."""
    sys.stderr.write(f"tocsin: {message}\n")
    sys.stderr.flush()
    os._exit(code)
