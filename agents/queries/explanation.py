"""Why one warning was given: the records, the clause and the journal behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.deployment.policies import clause
from tocsin.agents.kafka.reading import read_positions
from tocsin.agents.privacy.encryption import open_decrypting_guard
from tocsin.agents.queries.events import event_json
from tocsin.agents.queries.journal_marks import JournalMark
from tocsin.agents.queries.lookup import Lookup, PlacedWarning, StoredEvent
from tocsin.agents.queries.remedies import RemedyAnswer, read_remedy, remedy_json
from tocsin.agents.queries.warnings import warning_json
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.contracts.catalog import BY_ID, WARNINGS
from tocsin.streams.decide.risk_warning import Evidence


class Explanation(Struct, frozen=True):
    """A warning with all that stands behind it."""

    placed: PlacedWarning
    episode: Sequence[PlacedWarning]
    evidence: Mapping[Evidence, StoredEvent]
    clause: Sequence[tuple[int, str]]  # numbered lines of the policy's source
    journal: tuple[int, JournalMark] | None  # sequence, place and hash
    remedy: RemedyAnswer  # what ends it, as of now


def read_explanation(settings: Settings, lookup: Lookup, placed: PlacedWarning) -> Explanation:
    """Gather what stands behind a warning."""
    warning = placed.warning
    policy = lookup.policy(warning.policy_hash)
    episode = lookup.episode(warning.episode_id)
    place = lookup.journal_place(placed)
    return Explanation(
        placed,
        episode,
        with_records_from_topics(settings, lookup.evidence(warning.evidence), warning.evidence),
        clause(policy[1], warning.rule) if policy else (),
        None if place is None else (place[0], JournalMark(placed.partition, *place[1:])),
        read_remedy(settings, episode, placed),
    )


def with_records_from_topics(
    settings: Settings, found: Mapping[Evidence, StoredEvent], wanted: Sequence[Evidence]
) -> dict[Evidence, StoredEvent]:
    """The records behind a warning, those that the history still lacks from the topics."""
    places = {
        (settings.topic(BY_ID[evidence.topic_id]), evidence.partition, evidence.offset): evidence
        for evidence in wanted
        if evidence not in found
    }
    fetched: dict[Evidence, StoredEvent] = {}
    if places and settings.bootstrap_servers:
        codec = open_codec(settings, open_decrypting_guard(settings))
        for place, record in asyncio.run(read_positions(settings, places)).items():
            evidence = places[place]
            event = codec.decode(evidence.topic_id, record.value)
            event = codec.reveal(evidence.topic_id, event)
            fetched[evidence] = StoredEvent(
                evidence.topic_id, record.partition, record.offset, record.timestamp, event
            )
    return {**found, **fetched}


def explanation_json(found: Explanation, view: WarningView) -> dict[str, Any]:
    """An explanation as programs get it."""
    return {
        "warning": warning_json(found.placed.warning, view),
        "record": f"{WARNINGS.name}/{found.placed.partition}/{found.placed.offset}",
        "journal_sequence": found.journal[0] if found.journal else None,
        "journal": str(found.journal[1]) if found.journal else None,
        "evidence": [event_json(seen) for seen in found.evidence.values()],
        "clause": [line for _, line in found.clause],
        "episode": [step.warning.warning_id for step in found.episode],
        "remedy": remedy_json(found.remedy),
    }
