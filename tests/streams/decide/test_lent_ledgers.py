"""A further policy sees one fold's ledgers with a standing of its own, and the owner its own."""

from __future__ import annotations

from tocsin.streams.decide.lent_ledgers import LentLedgers, Standing
from tocsin.streams.ledger.documents import Episode, Summary
from tocsin.streams.ledger.ledger import Ledger
from tocsin.streams.ledger.ledgers import Ledgers
from tocsin.streams.measures.customer_classes import BEST_VALUE, BEST_VALUE_ON

FACTS = {
    "partition",
    "prune_on",
    "document_count",
    "folded_count",
    "last_issued_on",
    "profile",
    "accounts",
    "issued",
    "returns",
    "complaints",
    "settled",
    "tallies",
    "figures",
    "silences",
    "known_since",
    "first_issued_on",
    "credit",
}
"""Of a summary, what follows from facts alone: all policies share it."""


def owned(customer_id: str) -> Ledgers:
    ledgers = Ledgers()
    ledgers[customer_id] = ledger = Ledger(customer_id)
    ledger.summary.episodes["late:"] = Episode(ordinal=1, severity=2)
    ledger.summary.score, ledger.summary.grade = 70, "D"
    ledger.summary.figures[BEST_VALUE] = 2
    ledger.note_open_rules()
    return ledgers


def test_every_field_of_a_summary_is_a_fact_or_a_policys_own() -> None:
    own = set(Standing.__struct_fields__) - {"open_rules", "figures"}
    assert own | FACTS == set(Summary.__struct_fields__)
    assert not own & FACTS


def test_a_standing_changes_places_field_by_field() -> None:
    ledger, standing, empty = Ledger("C1"), Standing(), Standing()
    names = [name for name in Standing.__struct_fields__ if name != "figures"]
    for number, name in enumerate(names):
        setattr(ledger if name == "open_rules" else ledger.summary, name, number)
    standing.change_places(ledger)
    assert [getattr(standing, name) for name in names] == list(range(len(names)))
    for name in names:
        here = ledger if name == "open_rules" else ledger.summary
        assert getattr(here, name) == getattr(empty, name)


def test_the_owner_sees_its_own_standing_once_a_ledger_is_given_back() -> None:
    ledgers = owned("C1")
    lent = LentLedgers(ledgers)
    ledger = lent.peek("C1")
    assert (ledger.summary.score, ledger.summary.episodes, ledger.open_rules) == (None, {}, set())
    ledger.summary.score, ledger.summary.grade = 10, "A"
    ledger.summary.figures |= {BEST_VALUE: 0, BEST_VALUE_ON: 7, "paid": 1}
    lent.give_back()
    assert ledger.summary.figures == {"paid": 1, BEST_VALUE: 2}
    assert ledgers.rated("C1") == (70, "D")
    assert lent.rated("C1") == (10, "A")
    assert ledgers.peek("C1").open_rules == {"late:"}
    assert lent.find("C1") is ledger
    assert ledger.summary.figures == {"paid": 1, BEST_VALUE: 0, BEST_VALUE_ON: 7}
    lent.give_back()
    assert ledgers.rated("C1") == (70, "D")


def test_a_customer_that_is_parted_has_facts_of_its_own() -> None:
    ledgers = owned("C1")
    lent = LentLedgers(ledgers)
    lent.part("C1")
    lent.part("C2")  # nobody knows it: there is nothing to part
    own = lent.peek("C1")
    assert own is not ledgers.peek("C1")
    own.summary.document_count = 5
    assert ledgers.peek("C1").summary.document_count == 0
    assert ledgers.rated("C1") == (70, "D")
    assert lent.rated("C1") == (None, "")
    assert lent.apart_count == 1
    assert list(lent) == ["C1"]
