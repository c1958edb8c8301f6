"""Reading a policy's section `collection`: the ladder of steps, and what holds them back."""

from __future__ import annotations

from typing import Any

from tocsin.streams.fold.collection_texts import COLLECTION, STEPS
from tocsin.streams.fold.state_machines import step as step_to
from tocsin.streams.measures.collection_ladder import Collection, LadderStep
from tocsin.streams.policy.value_reading import Path, Reader, count, days

_PATH: Path = ("collection",)
_KEYS = (
    "pre_dunning",
    "steps",
    "quiet_between",
    "contacts_max",
    "negotiate_before_law",
    "floor",
)


def read_collection(reader: Reader, top: dict[str, Any]) -> Collection | None:
    """The ladder of a policy; None without the section."""
    if "collection" not in top:
        return None
    section = reader.mapping(top["collection"], _PATH, _KEYS, _KEYS)
    cap_path = (*_PATH, "contacts_max")
    cap_keys = ("count", "within")
    cap = reader.mapping(section.get("contacts_max", {}), cap_path, cap_keys, cap_keys)
    law_path = (*_PATH, "negotiate_before_law")
    law_keys = ("unanswered",)
    law = reader.mapping(section.get("negotiate_before_law", {}), law_path, law_keys, law_keys)
    contacts_days = reader.quantity(cap.get("within"), (*cap_path, "within"), days, lowest=1)
    if contacts_days > reader.horizon_days:
        reader.note(
            (*cap_path, "within"),
            f"exceeds what ledgers remember, {reader.horizon_days} days: shorten it",
        )
    return Collection(
        steps=_steps(reader, section.get("steps", [])),
        pre_dunning_days=_days(reader, section, "pre_dunning"),
        quiet_days=_days(reader, section, "quiet_between"),
        contacts_max=reader.quantity(cap.get("count"), (*cap_path, "count"), count, lowest=1),
        contacts_days=contacts_days,
        attempts_least=reader.quantity(
            law.get("unanswered"), (*law_path, "unanswered"), count, lowest=1
        ),
        floor_minor=reader.money_map(section.get("floor", []), (*_PATH, "floor")),
    )


def _days(reader: Reader, section: dict[str, Any], key: str) -> int:
    return reader.quantity(section.get(key), (*_PATH, key), days, lowest=0)


def _steps(reader: Reader, plain: object) -> tuple[LadderStep, ...]:
    path = (*_PATH, "steps")
    if not isinstance(plain, list) or not plain:
        reader.note(path, "must be a list of steps, such as {step: REMINDER, after: 3 days}")
        return ()
    found: list[LadderStep] = []
    for place, entry in enumerate(plain):
        where = (*path, str(place))
        step = reader.mapping(entry, where, ("step", "after"), ("step", "after"))
        after = reader.quantity(step.get("after"), (*where, "after"), days, lowest=1)
        name = str(step.get("step"))
        if name not in STEPS:
            reader.note((*where, "step"), f"must be one of {', '.join(STEPS)}")
        elif found and step_to(COLLECTION, found[-1].name, name) is None:
            reader.note((*where, "step"), f"is milder than {found[-1].name}: put it before that")
        elif found and after <= found[-1].after_days:
            reader.note((*where, "after"), f"must be later than {found[-1].name}")
        else:
            found.append(LadderStep(name, after))
    return tuple(found)
