"""As the image and the chart run it: no root, no rights, no file system that can be written.

There is no Docker here, but a mount namespace can be had: every disk is read-only in it, one folder
in memory takes the place of the chart's /tmp, and the user is the image's.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.services.deployment import Deployment, Program, deployed
from tocsin.agents.audit.reconcile import reconcile
from tocsin.agents.deployment.produce import produce
from tocsin.agents.embedded.broker import EmbeddedKafka
from tocsin.agents.embedded.services import EmbeddedEngine

USER = "10001"  # deploy/Dockerfile, deploy/chart
SCRATCH_MB = 256
# CAP_DAC_READ_SEARCH is no right of the image: here it opens, for reading, the folders on the way
# to Python and to this test's, which are root's own.
CONFINE = f"""
mount --make-rprivate /
while read -r _ where kind _; do
    case $where in /dev*|/proc*|/sys*) continue ;; esac
    case $kind in
        ext*|xfs|btrfs|overlay|tmpfs|9p|virtiofs|fuse*) mount -o remount,bind,ro "$where" ;;
    esac
done < /proc/mounts
mount -t tmpfs -o mode=1777,size={SCRATCH_MB}m tmpfs "$SCRATCH" || exit 1
exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs \\
    --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \\
    --bounding-set=-all,+dac_read_search "$@"
"""


def confined(*argv: str) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", CONFINE, "confined", *argv]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder that is writable inside, and what is outside is not; else this can't be tested."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    script = 'touch "$SCRATCH/in" && ! touch "$SCRATCH/../out" 2>/dev/null && id -u'
    try:
        done = subprocess.run(
            confined("sh", "-c", script),
            env={**os.environ, "SCRATCH": str(folder)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        pytest.skip(f"needs unshare and setpriv: {error}")
    if done.returncode and re.search("permi(tted|ssion)", done.stderr):
        pytest.skip(f"needs the right to make a mount namespace: {done.stderr.strip()}")
    assert done.stdout.split() == [USER], done.stderr
    return folder


def started(deployment: Deployment, scratch: Path, name: str) -> Program:
    inside = {"SCRATCH": str(scratch), "TMPDIR": str(scratch), "HOME": str(scratch)}
    program = deployment.program(
        name, **deployment.logins, **inside, TOCSIN_DATA_DIR=str(scratch / "tocsin")
    )
    program.before = tuple(confined())
    program.start()
    return program


def users_of(program: Program) -> set[str]:
    """Real, effective, saved and file system's user."""
    lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
    return set(next(line.split()[1:] for line in lines if line.startswith("Uid:")))


async def test_worker_and_audit_need_no_root_and_write_to_no_disk(
    broker: EmbeddedKafka, engine: EmbeddedEngine, tmp_path: Path, scratch: Path
) -> None:
    async with deployed("confined", broker, engine, tmp_path) as deployment:
        facts = deployment.portfolio(customers=20, days=60)
        await produce(facts, deployment.settings)
        programs = [started(deployment, scratch, name) for name in ("worker", "audit")]
        await deployment.until_decided(*programs)
        found = await reconcile(deployment.settings, wait_s=60)
        for program in programs:
            assert users_of(program) == {USER}
            assert await asyncio.to_thread(program.stop) == 0, program.log()
            assert "Read-only file system" not in program.log()
        warnings = await deployment.warnings()
    assert found.is_equal
    assert found.records > len(facts)
    assert warnings
