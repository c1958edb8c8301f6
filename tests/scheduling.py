"""How `make test` shares its tests out among processes, each with its own broker and engine.

A process takes the longest file that is left, so that all end together and the many short files
fill the gaps at the end.
"""

from __future__ import annotations

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

# One process takes all of a group, so that what these share is started once.
TOGETHER = {
    "secured": ("test_security_kafka", "test_security_roles", "test_doctor"),
    "registry": ("test_registry", "test_subscriber"),
}
# Each test of these starts what it needs itself, so that any process may take it.
APART = ("test_bench",)
# Seconds that a file, a test that is apart, or a group takes on an idle machine: on real parts, ...
OF_SERVICES = {
    "test_faults": 280, "test_kills": 270, "test_end_to_end": 150, "test_order": 140,
    "secured": 140, "test_rolling_restart": 120, "test_upgrades": 120, "test_bench": 90,
    "registry": 90, "test_web": 80, "test_views": 80, "test_observe": 75, "test_commands": 70,
    "test_audit": 70, "test_demo": 60, "test_embedded": 60, "test_notify": 60,
    "test_recovery": 60, "test_privacy": 55, "test_hold": 50, "test_embedded_registry": 45,
}  # fmt: skip
# ... and of the others.
OF_OTHERS = {
    "test_state_records": 25, "test_engine_laws": 25, "test_simulation": 25, "test_chart": 20,
    "test_arrears_laws": 15, "test_lever_laws": 15, "test_policy_laws": 15,
    "test_portfolio": 12,
}  # fmt: skip
REAL_PARTS = {"services", "faults"}
SHORT_OF_SERVICES, SHORT_OF_OTHERS = 30, 5


class LongestFirst(LoadScopeScheduling):
    """Hands out scopes in the order of their tests, which are sorted by `seconds_of`."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """What one process runs without a break: a file, a test, or a group of files."""
    path, stem = _path_of(nodeid), _path_of(nodeid).stem
    if not _has_real_parts(path):
        return str(path)
    if stem in APART:
        return nodeid
    return next((name for name, stems in TOGETHER.items() if stem in stems), str(path))


def seconds_of(nodeid: str) -> int:
    """About how long the scope of a test takes."""
    path = _path_of(nodeid)
    if not _has_real_parts(path):
        return OF_OTHERS.get(path.stem, SHORT_OF_OTHERS)
    return OF_SERVICES.get(_path_of(scope_of(nodeid)).stem, SHORT_OF_SERVICES)


def _path_of(nodeid: str) -> Path:
    return Path(nodeid.partition("::")[0])


def _has_real_parts(path: Path) -> bool:
    return not REAL_PARTS.isdisjoint(path.parts)
