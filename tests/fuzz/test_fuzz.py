"""Bad input, made by mutating good input: a refusal with a stable code, never anything else.

The short form of `make fuzz`; what is fuzzed is in tests/fuzz/targets.py.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.fuzz.mutating import Run, TooSlowError
from tests.fuzz.targets import TARGETS
from tocsin.agents.settings.exits import Exit
from tocsin.schemas.codec.mapping import MappingCode
from tocsin.schemas.codec.refused import Code as FormCode
from tocsin.streams.facts.refusals import Code

MUTANTS = 2_000
PEAK_GROWTH_MAX_KB = 400 << 10  # of this process's memory, by all mutants of a target
CODES = {code.value for code in (*Code, *FormCode, *MappingCode)} | {code.name for code in Exit}
EXCEPTIONS = {
    "BundleError", "InputError", "MappingError", "NotifyConfigError", "ReferenceRatesError",
    "StateError",
}  # fmt: skip
"""Of files that commands are given, and of state: what is refused as a whole, in words."""


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_are_taken_or_refused_with_a_stable_code(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    run = Run(MUTANTS // target.slow, 1, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    target.run(run)

    assert run.done == run.count
    assert run.codes
    assert set(run.codes) <= CODES | EXCEPTIONS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < PEAK_GROWTH_MAX_KB


def test_the_codes_of_source_records_are_many_and_some_records_are_taken(tmp_path: Path) -> None:
    run = Run(MUTANTS, 2, tmp_path)

    TARGETS["source records"].run(run)

    assert len(run.codes) >= 8
    assert run.codes.total() < run.done


def test_a_mutant_that_never_ends_is_interrupted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.mutating.CPU_S_MAX", 0.05)
    run = Run(5, 7, tmp_path)

    mutants = run.mutants([b"x"])
    next(mutants)
    with pytest.raises(TooSlowError, match="mutant 1 of seed 7"):
        all(iter(lambda: True, False))  # for ever
    mutants.close()
