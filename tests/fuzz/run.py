"""Bad input in quantity: every target of targets.py, a line for each, each in its own process.

    python tests/fuzz/run.py [--mutants 1000000] [--seed 1] [--only state "JSON Lines"]

A target whose mutants take long gets fewer of them. What is not refused as it should be ends in a
traceback, with the seed and the number of the mutant; 1 if one did.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.mutating import Run
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mutants", type=int, default=1_000_000, help="of a fast target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS))
    given = parser.parse_args()
    failed = 0
    for name in given.only:
        process = multiprocessing.get_context("fork").Process(
            target=_fuzz, args=(name, given.mutants, given.seed)
        )
        process.start()
        process.join()
        failed += process.exitcode != 0
    return int(bool(failed))


def _fuzz(name: str, mutants: int, seed: int) -> None:
    logging.disable()
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = Run(mutants // target.slow, seed, Path(folder))
        before, began = _peak_mb(), time.monotonic()
        is_sound = False
        try:
            target.run(run)
            is_sound = True
        except Exception:
            _tell(f"{name}: mutant {run.done} of seed {seed}\n{traceback.format_exc(limit=-4)}")
        codes = ", ".join(f"{code} {times}" for code, times in run.codes.most_common())
        _tell(
            f"{name}: {run.done} mutants, {run.codes.total()} refused, "
            f"{time.monotonic() - began:.0f} s, +{_peak_mb() - before} MB; {codes}"
        )
    sys.exit(0 if is_sound else 1)


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    sys.exit(main())
