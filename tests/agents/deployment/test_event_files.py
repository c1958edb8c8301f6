"""Files of events: looked at once, read as often as is wanted, nothing unpacked stays behind."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest

from tocsin.agents.deployment.event_files import open_events
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec import jsonlines
from tocsin.streams.facts.events import DayClosed

LINES = """\
{"type": "InvoiceIssued", "customer_id": "C1", "invoice_id": "I-1", "amount_minor": 100, \
"currency": "EUR", "due_date": "2025-02-10", "occurred_at": "2025-01-10T09:00:00Z"}
{"type": "PaymentReceived", "customer_id": "C1", "payment_id": "P-1", "amount_minor": 100, \
"currency": "EUR", "invoice_ids": ["I-1"], "occurred_at": "2025-01-12T09:00:00Z"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def packed(path: Path, text: str = LINES) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_a_packed_file_is_unpacked_and_looked_at_once_however_often_it_is_read(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[list[Path]] = []
    checked = jsonlines.checked

    def noted(paths: dict[Path, Path], *more: object) -> jsonlines.Checked:
        looked_at.append(list(paths))
        return checked(paths, *more)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(jsonlines, "checked", noted)
    with open_events(Settings(), [packed(tmp_path / "events.jsonl.gz")]) as given:
        first, again = list(given.facts()), list(given.facts())
        bare = list(given.facts(is_closing=False))
    assert first == again
    assert [fact for fact in first if not isinstance(fact.event, DayClosed)] == bare
    assert len(bare) == 2 < len(first)
    assert len(looked_at) == 1
    assert not list(folder.iterdir())


def test_what_was_unpacked_is_gone_though_nobody_read_it(tmp_path: Path, folder: Path) -> None:
    with open_events(Settings(), [packed(tmp_path / "events.jsonl.gz")]) as given:
        next(given.facts())
        assert list(folder.iterdir())
    assert not list(folder.iterdir())


def test_a_wrong_line_is_told_by_the_file_that_was_given(tmp_path: Path, folder: Path) -> None:
    file = packed(tmp_path / "events.jsonl.gz", LINES + "no event\n")
    with pytest.raises(InputError, match=rf"{file}, line 3"), open_events(Settings(), [file]):
        pass
    assert not list(folder.iterdir())
