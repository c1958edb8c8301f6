"""The supervisor with small children: restarts, limits, order, and what the user is told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.agents.errors import ProgramFailedError, UnavailableError
from tocsin.agents.exits import Exit
from tocsin.agents.supervisor import Process, Program, RestartPolicy, Supervisor

QUICK = RestartPolicy(pause_s_first=0.01, pause_s_max=0.02, restarts_max=2, window_s=60)
FOR_EVER = "import time\nwhile True: time.sleep(0.05)"
WITHIN_S = 20


def child(folder: Path, name: str, code: str, **more: object) -> Program:
    """A Python program; each of its starts adds a line to the file `<name>.starts`."""
    starts = folder / f"{name}.starts"
    head = f"import sys; open({str(starts)!r}, 'a').write('started\\n')\n"
    argv = [sys.executable, "-S", "-c", head + code]
    return Program(name, argv, folder / f"{name}.log", **more)  # type: ignore[arg-type] # fields


def starts(folder: Path, name: str) -> int:
    """How often the child was started."""
    path = folder / f"{name}.starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a bound."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - files and processes raise no event
            await asyncio.sleep(0.01)


def has_started(folder: Path, name: str) -> Callable[[], asyncio.Future[bool]]:
    """A readiness check: the child runs its code."""

    async def ready() -> bool:
        return starts(folder, name) > 0

    return ready  # type: ignore[return-value] # a coroutine function is one


async def at_once() -> bool:
    """The readiness of a child that may have ended by the time it is looked at."""
    return True


def test_pauses_double_up_to_a_bound() -> None:
    policy = RestartPolicy(pause_s_first=0.5, pause_s_max=3)

    assert [policy.pause_s(recent) for recent in range(5)] == [0.5, 1, 2, 3, 3]


async def test_a_child_that_was_killed_is_started_again(tmp_path: Path) -> None:
    told = list[tuple[str, int]]()
    supervisor = Supervisor(QUICK, on_end=lambda name, code: told.append((name, code)))
    program = child(tmp_path, "a", FOR_EVER, ready=has_started(tmp_path, "a"))
    process = await supervisor.start(program)
    first = process.pid

    process.kill()

    await until(lambda: process.is_running and process.pid != first)
    assert told == [("a", -9)]
    await supervisor.stop()


async def test_a_child_that_ends_too_often_stops_the_whole_with_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor(QUICK)
    code = f"print('out of sorts', flush=True); sys.exit({Exit.TRANSACTION:d})"
    await supervisor.start(child(tmp_path, "a", code, ready=at_once))

    with pytest.raises(ProgramFailedError, match=r"a ended 3 times(.|\n)*out of sorts") as caught:
        async with asyncio.timeout(WITHIN_S):
            await supervisor.watch(asyncio.Event())

    assert caught.value.exit_code == Exit.TRANSACTION
    assert starts(tmp_path, "a") == 1 + QUICK.restarts_max
    await supervisor.stop()


@pytest.mark.parametrize("code", [Exit.USAGE, Exit.CONFIGURATION, Exit.RESTORE])
async def test_what_a_restart_cannot_mend_is_not_restarted(tmp_path: Path, code: Exit) -> None:
    supervisor = Supervisor(QUICK)
    await supervisor.start(child(tmp_path, "a", f"sys.exit({code:d})", ready=at_once))

    with pytest.raises(ProgramFailedError, match="will not go on") as caught:
        async with asyncio.timeout(WITHIN_S):
            await supervisor.watch(asyncio.Event())

    assert caught.value.exit_code == code
    assert starts(tmp_path, "a") == 1
    await supervisor.stop()


async def test_a_child_that_is_done_is_not_restarted(tmp_path: Path) -> None:
    supervisor = Supervisor(QUICK)
    program = child(tmp_path, "a", "sys.exit(0)", is_done_at_zero=True, ready=at_once)
    process = await supervisor.start(program)
    await process.ended(WITHIN_S)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)

    await supervisor.watch(stop)

    assert starts(tmp_path, "a") == 1
    await supervisor.stop()


async def test_children_are_stopped_the_last_started_first(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    code = (
        "import signal\n"
        "def end(*_):\n    open({ends!r}, 'a').write('{name}'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "open({ready!r}, 'w').close()\n" + FOR_EVER
    )
    supervisor = Supervisor(QUICK)
    for name in "abc":
        mark = tmp_path / f"{name}.ready"

        async def ready(mark: Path = mark) -> bool:
            return mark.exists()  # noqa: ASYNC240 - a local file, at once

        text = code.format(ends=str(ends), name=name, ready=str(mark))
        await supervisor.start(child(tmp_path, name, text, ready=ready))

    await supervisor.stop()

    assert ends.read_text() == "cba"


async def test_a_child_that_does_not_heed_the_stop_is_killed(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code = f"{deaf}print('deaf', flush=True)\n{FOR_EVER}"
    log = tmp_path / "a.log"

    async def ready() -> bool:
        return log.exists() and "deaf" in log.read_text()

    process = Process(child(tmp_path, "a", code, ready=ready, stop_within_s=0.2))
    await process.start()

    await process.stop()

    assert process.returncode == -9


async def test_a_child_that_ends_before_it_is_ready_is_an_error_with_its_log(
    tmp_path: Path,
) -> None:
    async def never() -> bool:
        return False

    code = "print('no disk left'); sys.exit(9)"
    process = Process(child(tmp_path, "a", code, ready=never, mend="free the disk"))

    with pytest.raises(UnavailableError, match=r"exit code 9(.|\n)*free the disk(.|\n)*no disk"):
        await process.start()


async def test_a_child_that_never_gets_ready_is_ended_after_the_bound(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = Process(child(tmp_path, "a", FOR_EVER, ready=never, ready_within_s=0.2))

    with pytest.raises(UnavailableError, match="was not ready"):
        await process.start()
    assert not process.is_running


async def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    process = Process(Program("a", ["/nonexistent/java"], tmp_path / "log"))

    with pytest.raises(UnavailableError, match="/nonexistent/java: No such file"):
        await process.start()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help exists on Linux only")
async def test_a_grandchild_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import asyncio, pathlib\n"
        "from tocsin.agents.supervisor import Process, Program\n"
        f"log = pathlib.Path({str(tmp_path / 'inner.log')!r})\n"
        "inner = Process(Program('inner', [sys.executable, '-S', '-c', "
        f"{FOR_EVER!r}], log))\n"
        "asyncio.run(inner.start())\n"
        f"path = pathlib.Path({str(pid_file)!r})\n"
        "path.with_suffix('.new').write_text(str(inner.pid))\n"
        "path.with_suffix('.new').rename(path)\n" + FOR_EVER
    )
    program = Program("outer", [sys.executable, "-c", "import sys\n" + code], tmp_path / "log")
    outer = Process(program)
    await outer.start()
    await until(pid_file.exists)

    outer.kill()

    await until(lambda: not is_running(int(pid_file.read_text())))


def is_running(pid: int) -> bool:
    """Whether a process that is not our child runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
