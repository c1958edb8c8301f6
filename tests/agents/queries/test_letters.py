"""Letters: what they say, from current figures, and to whom none is written."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tests.streams.receivables.test_demand import day, invoice, noon, payment, standing
from tocsin.agents.queries.letters import KINDS, Asked, Situation, channel_of, letter_of
from tocsin.agents.render.letters import Letter, letter_json, print_letter
from tocsin.agents.settings.errors import InputError
from tocsin.streams.facts.events import CustomerUpdated, DisputeOpened

AS_OF = "2025-03-20"
FACTS = (
    CustomerUpdated("C1", noon("2025-01-01"), "Nord & <Sons>", country="DE"),
    invoice("R1", "2025-01-02", "2025-02-03", 10_000_00),
    invoice("R2", "2025-01-02", "2025-03-03", 5_000_00),
    invoice("R3", "2025-03-02", "2025-03-25", 700_00),
    DisputeOpened(
        "C1", "D1", noon("2025-02-05"), "R2", 1_000_00, "EUR", "QUALITY", is_own_fault=False
    ),
    payment("P1", "2025-02-10", 2_500_00, "TYPO"),
)
NOTICED = Situation(noticed_on=day("2025-03-10"))


def letter(kind: str, situation: Situation = NOTICED, **more: Any) -> Letter:
    return letter_of(standing(AS_OF, *FACTS), day(AS_OF), situation, Asked(kind, "en", **more))


ASKING = [name for name, kind in KINDS.items() if kind.asks and name != "pre-dunning"]


@pytest.mark.parametrize("kind", ASKING)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_letter_asks_for_what_is_past_due_without_disputes_and_money_at_hand(
    kind: str, language: Any
) -> None:
    found = structs.replace(letter(kind), language=language)

    text = print_letter(found, "text")

    assert [(item.invoice_id, item.owed_minor) for item in found.items] == [
        ("R1", 7_500_00),
        ("R2", 4_000_00),
    ]
    assert found.totals == {"EUR": 11_500_00}
    assert "R1 | 2025-01-02 | 2025-02-03 | 45 | 10,000.00 EUR | 7,500.00 EUR" in text
    assert "11,500.00 EUR" in text
    assert "R3" not in text
    assert "2025-03-31" in text  # ten days later is a Sunday
    assert found.number in text
    assert found.hash in text


def test_what_falls_due_soon_is_told_before_and_a_statement_has_all() -> None:
    assert [item.invoice_id for item in letter("pre-dunning").items] == ["R3"]
    assert [item.invoice_id for item in letter("statement").items] == ["R1", "R2", "R3"]


def test_a_printed_letter_escapes_what_comes_from_outside_and_has_its_items_in_a_table() -> None:
    page = print_letter(letter("reminder"), "html")

    assert "Nord &amp; &lt;Sons&gt;" in page
    assert "<td>R1</td>" in page
    assert "http" not in page  # self-contained
    assert "@media print" in page


def test_the_hash_is_that_of_the_figures_and_the_same_figures_have_the_same_number() -> None:
    found = letter_json(letter("reminder"))

    assert found["sha256"] == sha256(msgspec.json.encode(letter("reminder"))).hexdigest()
    assert json.dumps(found["figures"], separators=(",", ":"), ensure_ascii=False).encode() == (
        msgspec.json.encode(letter("reminder"))
    )
    assert found["number"] == letter("reminder").number != letter("written-notice").number


@pytest.mark.parametrize("kind", [*ASKING, "pre-dunning"])
def test_nobody_is_reminded_in_an_insolvency_nor_while_a_promise_is_open(kind: str) -> None:
    with pytest.raises(InputError, match="insolvency is reported"):
        letter(kind, Situation(step="FILE_CLAIM", why="INSOLVENT"))
    with pytest.raises(InputError, match="a promise is not due yet"):
        letter(kind, Situation("CALL", "PROMISE_PENDING", is_blocked=True))


def test_where_nothing_is_asked_for_nothing_is_written() -> None:
    paid = payment("P2", "2025-03-01", 20_000_00, "OTHER")

    with pytest.raises(InputError, match="nothing that is not disputed or covered"):
        letter_of(standing(AS_OF, *FACTS, paid), day(AS_OF), NOTICED, Asked("written-notice", "en"))


@pytest.mark.parametrize("noticed_on", [None, day("2025-01-20")])
def test_a_final_notice_needs_a_written_notice_of_these_arrears(noticed_on: int | None) -> None:
    with pytest.raises(InputError, match="no final notice before a written notice"):
        letter("final-notice", Situation(noticed_on=noticed_on))


def test_the_channel_goes_by_importance_and_what_is_formal_is_on_paper() -> None:
    assert channel_of("reminder", "A") == "LETTER"
    assert channel_of("reminder", "C") == channel_of("reminder", None) == "EMAIL"
    assert channel_of("written-notice", "C") == channel_of("offboarding", None) == "LETTER"


def test_a_deployment_replaces_a_template_by_one_of_the_same_name(tmp_path: Path) -> None:
    said = "{% set subject %}Bitte zahlen{% endset %}{% set opening %}{% endset %}"
    (tmp_path / "reminder.en.jinja").write_text(said + "{% set closing %}{% endset %}")

    assert "Bitte zahlen" in print_letter(letter("reminder"), "text", tmp_path)
    assert "Bitte zahlen" not in print_letter(letter("second-reminder"), "text", tmp_path)

    (tmp_path / "reminder.en.jinja").write_text("{{ nothing_of_that_name }}")
    with pytest.raises(InputError, match="nothing_of_that_name"):
        print_letter(letter("reminder"), "text", tmp_path)
