"""All processes by their names."""

from __future__ import annotations

from typing import Final

from tocsin.streams.collection_words import COLLECTION
from tocsin.streams.credit import CREDIT
from tocsin.streams.disputes import DISPUTE
from tocsin.streams.machines import Machine
from tocsin.streams.plans_agreed import PLAN
from tocsin.streams.promises import PROMISE
from tocsin.streams.retirement import RETIREMENT

PROCESSES: Final[dict[str, Machine]] = {
    machine.name: machine for machine in (PROMISE, PLAN, DISPUTE, COLLECTION, CREDIT, RETIREMENT)
}
