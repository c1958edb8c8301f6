"""Starts a command of the product with faults at chosen points, and without touching its code.

launch.py COMMAND...: `worker`, `audit`, or `engine` with the engine's own arguments. What is to
happen stands in the JSON file that FAULTS_PLAN names: `points` are places at which the process
kills or stops itself (each happens once per run, whichever process comes first), `broken` names
defects for negative controls, `clock` a file with the seconds by which the host's clock is off.
What happened is written into the folder FAULTS_SEEN, one file each, before it happens.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

PLAN: dict[str, Any] = json.loads(Path(os.environ["FAULTS_PLAN"]).read_text("utf-8"))
SEEN = Path(os.environ["FAULTS_SEEN"])
CLOCK_LOOK_S = 0.1
AMID_SEND = "amid-send"
AMID_SEND_S = 0.02
IN_INSERT_S = 0.002  # after which an insert is most likely under way
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_passed: Counter[str] = Counter()


def seen(name: str) -> bool:
    """Write down that something happens; False if it has happened before."""
    try:
        descriptor = os.open(SEEN / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    os.write(descriptor, str(os.getpid()).encode())
    os.close(descriptor)
    return True


def reach(point: str, after_s: float = 0.0) -> None:
    """Pass a point: perhaps it is here that the process is to die or to stand still."""
    _passed[point] += 1
    for entry in PLAN["points"]:
        if entry["point"] != point or _passed[point] < entry["nth"]:
            continue
        if not seen(f"{entry['do']}-{point}-{entry['nth']}"):
            continue
        if after_s:
            time.sleep(after_s)
        os.kill(os.getpid(), SIGNALS[entry["do"]])


def around(owner: Any, name: str, before: str = "", after: str = "") -> None:
    """Make a coroutine method pass points."""
    plain = getattr(owner, name)

    @wraps(plain)  # tocsin compares signatures when it starts
    async def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            if before == AMID_SEND:
                await asyncio.sleep(AMID_SEND_S)  # what was sent before is at the broker by now
            reach(before)
        result = await plain(*args, **named)
        if after:
            reach(after)
        return result

    setattr(owner, name, wrapped)


def around_call(owner: Any, name: str, before: str = "", after: str = "") -> None:
    """The same of a plain function."""
    plain = getattr(owner, name)

    @wraps(plain)
    def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            reach(before)
        result = plain(*args, **named)
        if after:
            reach(after)
        return result

    setattr(owner, name, wrapped)


def prepare_worker() -> None:
    """Points of the worker: around its transactions, in its restore, in a rebalance."""
    from aiokafka import AIOKafkaProducer

    from tocsin.agents.transactions import transaction as transactions
    from tocsin.agents.worker import faust_runtime

    if any(entry["point"] == AMID_SEND for entry in PLAN["points"]):  # it slows everything down
        around(AIOKafkaProducer, "send_batch", before=AMID_SEND)
    around(AIOKafkaProducer, "begin_transaction", before="before-send")
    around(AIOKafkaProducer, "send_offsets_to_transaction", before="after-send")
    around(AIOKafkaProducer, "commit_transaction", before="before-commit", after="after-commit")
    around(faust_runtime.Restore, "on_rebalance", before="rebalance")
    read = transactions.read_to_end

    @wraps(read)
    async def read_to_end(topic: str, group: int, options: Any, apply: Any) -> int:
        def apply_one(key: bytes, value: bytes | None) -> None:
            reach("restore")
            apply(key, value)

        return await read(topic, group, options, apply_one)

    transactions.read_to_end = read_to_end


def prepare_audit() -> None:
    """Points of the sink: in its migration, around its inserts and its progress rows."""
    from tocsin.agents.audit import sink as audit
    from tocsin.agents.clickhouse.client import ClickHouse

    around_call(audit.Writer, "_insert", before="before-insert", after="after-insert")
    around_call(audit, "write_progress", before="before-progress", after="after-progress")
    migrate = audit.migrate

    def migrating(client: ClickHouse, *rest: Any) -> Any:
        around_call(ClickHouse, "command", after="migration")
        return migrate(client, *rest)

    audit.migrate = migrating


def prepare_engine() -> None:
    """The engine's point: amid an insert, which goes on in a thread of its own."""
    from tocsin.agents.embedded.chdb_pool import Engine

    plain = Engine.execute

    def execute(engine: Engine, statement: Any) -> Any:
        if statement.text.lstrip()[:11].upper() == b"INSERT INTO":
            threading.Thread(target=reach, args=("in-insert", IN_INSERT_S), daemon=True).start()
        return plain(engine, statement)

    Engine.execute = execute  # type: ignore[method-assign]  # the point of this module


def jump(path: Path) -> None:
    """Let this process see the clock off by what a file says, from when it says so."""
    plain, plain_ns, off = time.time, time.time_ns, [0.0]

    def look() -> None:
        while True:
            text = path.read_text() if path.exists() else ""
            if text and float(text) != off[0]:
                off[0] = float(text)
                seen(f"clock-{os.getpid()}-{text}")
            time.sleep(CLOCK_LOOK_S)

    time.time = lambda: plain() + off[0]
    time.time_ns = lambda: plain_ns() + int(off[0] * 1e9)
    threading.Thread(target=look, daemon=True).start()


def main() -> None:
    """Break what is to be broken, then be the command."""
    from tests.faults import broken

    command, *rest = sys.argv[1:]
    if PLAN.get("clock"):
        jump(Path(PLAN["clock"]))
    prepare: dict[str, Callable[[], None]] = {
        "worker": prepare_worker,
        "audit": prepare_audit,
        "engine": prepare_engine,
    }
    for name in PLAN.get("broken", ()):
        broken.VARIANTS[name](command)
    prepare[command]()
    if command == "engine":
        sys.argv = ["engine", *rest]
        runpy.run_module("tocsin.agents.embedded.engine", run_name="__main__")
        return
    from tocsin.agents.commands.cli import main as tocsin

    sys.argv = ["tocsin", command, *rest]
    tocsin()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
