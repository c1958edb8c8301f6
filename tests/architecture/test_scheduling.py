"""What shares the tests out names files that exist, and keeps together what shares a service."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from tests.scheduling import (
    APART,
    OF_OTHERS,
    OF_SERVICES,
    REAL_PARTS,
    TOGETHER,
    scope_of,
    seconds_of,
)

TESTS = Path(__file__).parents[1]


def test_every_file_that_is_named_exists() -> None:
    files = list(TESTS.rglob("test_*.py"))
    real = {path.stem for path in files if not REAL_PARTS.isdisjoint(path.parts)}
    others = {path.stem for path in files if REAL_PARTS.isdisjoint(path.parts)}

    assert {*APART, *chain(*TOGETHER.values()), *OF_SERVICES} <= real | set(TOGETHER)
    assert others >= set(OF_OTHERS)


def test_files_that_share_a_service_are_one_scope_and_a_file_without_services_is_its_own() -> None:
    doctor, roles = "tests/services/test_doctor.py::test_a", "tests/services/test_security_roles.py"

    assert scope_of(doctor) == scope_of(f"{roles}::test_b[1]") == "secured"
    assert seconds_of(doctor) == OF_SERVICES["secured"]
    assert scope_of("tests/unit/test_registry.py::test_c") == "tests/unit/test_registry.py"
    assert seconds_of("tests/unit/test_registry.py::test_c") < OF_SERVICES["registry"]
    assert (
        scope_of("tests/services/test_bench.py::test_d") == "tests/services/test_bench.py::test_d"
    )
    assert seconds_of("tests/services/test_bench.py::test_d") == OF_SERVICES["test_bench"]
