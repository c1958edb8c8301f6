"""The product's worker as it is built for production, measured from within, per transaction.

run_worker.py RECORDS: settings come from the environment; ends when so many source records are
committed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import uvloop
from measuring import Clocked, Window

from tocsin.agents.settings.settings import load
from tocsin.agents.worker import app as composition
from tocsin.agents.worker.ledger_agent import PartitionProcessor
from tocsin.agents.worker.main import run_app

window = Window()


keep = Clocked(PartitionProcessor.keep)


class MeasuredKeeper(PartitionProcessor):
    """Notes the first record, and the CPU that deciding takes."""

    def keep(self, *args: Any, **named: Any) -> None:
        """Keep as ever."""
        window.begin()
        keep(self, *args, **named)


def main(records: int) -> None:
    """Run until all records are committed."""
    settings = load(environ=os.environ, discover=False)
    composition.PartitionProcessor = MeasuredKeeper  # type: ignore[misc]  # stands in for the class it extends
    app = composition.build_worker(settings)
    committer = app.runtime.committer
    seal = committer.seal = Clocked(committer.seal)

    @app.timer(0.05)
    async def end() -> None:
        if committer.records >= records:
            window.report(
                records,
                keep_cpu_seconds=round(keep.cpu_seconds, 3),
                seal_cpu_seconds=round(seal.cpu_seconds, 3),
                transactions=committer.transactions,
            )
            os._exit(0)

    run_app(app, settings)


if __name__ == "__main__":
    uvloop.install()
    main(int(sys.argv[1]))
