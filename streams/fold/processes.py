"""All processes by their names."""

from __future__ import annotations

from typing import Final

from tocsin.streams.fold.collection_texts import COLLECTION
from tocsin.streams.fold.credit_decisions import CREDIT
from tocsin.streams.fold.disputes import DISPUTE
from tocsin.streams.fold.instalment_plans import PLAN
from tocsin.streams.fold.promises import PROMISE
from tocsin.streams.fold.retirement import RETIREMENT
from tocsin.streams.fold.state_machines import Machine

PROCESSES: Final[dict[str, Machine]] = {
    machine.name: machine for machine in (PROMISE, PLAN, DISPUTE, COLLECTION, CREDIT, RETIREMENT)
}
