"""Two policies' warnings side by side, and how much one says."""

from __future__ import annotations

import pytest

from tests.book import day
from tocsin.streams.decide.risk_warning import Exposure
from tocsin.streams.evaluate.alarm_load import EpisodeCount, alarm_load
from tocsin.streams.evaluate.alarms import Alarm, OpenEpisodes, Standing
from tocsin.streams.evaluate.comparison import compare, quantile
from tocsin.streams.evaluate.history import Known


def alarm(
    on: str,
    customer: str = "A",
    rule: str = "late",
    transition: str = "RAISED",
    severity: int = 1,
    owed: int = 0,
    is_muted: bool = False,
    episode: str = "e",
) -> Alarm:
    exposures = (Exposure("EUR", owed),) if owed else ()
    return Alarm(customer, episode, rule, "", transition, severity, day(on), is_muted, exposures)


def test_the_same_day_is_the_same_warning_a_near_one_is_moved_a_far_one_is_another() -> None:
    old = [alarm("2025-01-10"), alarm("2025-03-10"), alarm("2025-06-10", owed=500)]
    new = [alarm("2025-01-10"), alarm("2025-03-05"), alarm("2025-09-10", owed=700)]

    found = compare("old", old, "new", new)

    assert (found.unchanged, found.moved, found.moved_days_median) == (1, 1, -5)
    assert (found.added, found.removed) == (1, 1)
    assert (found.added_at_stake, found.removed_at_stake) == ({"EUR": 700}, {"EUR": 500})


def test_other_customers_rules_and_steps_are_never_the_same() -> None:
    old = [alarm("2025-01-10"), alarm("2025-01-10", customer="B")]
    new = [alarm("2025-01-10", rule="big"), alarm("2025-01-10", customer="B", transition="CLEARED")]

    found = compare("old", old, "new", new)

    assert (found.unchanged, found.moved, found.added, found.removed) == (0, 0, 2, 2)
    assert found.added_by == {"big": 1, "late": 1}
    assert found.added_customers == found.removed_customers == ["A", "B"]


def test_at_stake_counts_a_customer_once_by_the_most_it_owed() -> None:
    new = [
        alarm("2025-01-10", owed=500),
        alarm("2025-06-10", owed=900),
        alarm("2025-09-10", "B", owed=1),
    ]

    assert compare("old", [], "new", new).added_at_stake == {"EUR": 901}


def test_muted_warnings_are_not_compared() -> None:
    found = compare("old", [alarm("2025-01-10", is_muted=True)], "new", [])

    assert (found.removed, found.unchanged) == (0, 0)


def test_alarms_are_counted_by_step_month_and_rule_over_customer_months() -> None:
    alarms = [
        alarm("2025-01-10", episode="a"),
        alarm("2025-01-17", transition="CLEARED", episode="a"),
        alarm("2025-02-01", episode="b"),
        alarm("2025-02-09", transition="CLEARED", episode="b"),
        alarm("2025-02-10", episode="c", is_muted=True),
    ]

    load = alarm_load(
        alarms, [Known(day("2025-01-31")), Known(day("2025-03-01"))], day("2025-03-05")
    )

    assert load.customer_months == 3 + 1
    assert (load.alarms["RAISED"], load.alarms["CLEARED"], load.muted) == (2, 2, 1)
    assert load.by_month == {"2025-01": {"late": 2}, "2025-02": {"late": 2}}
    assert load.episodes == {"late": EpisodeCount(3, 2, 1)}


def test_an_episode_is_open_from_its_first_warning_until_it_is_cleared() -> None:
    episodes = OpenEpisodes()
    for step in (
        alarm("2025-01-10"),
        alarm("2025-01-20", transition="ESCALATED", severity=3),
        alarm("2025-01-12", episode="f", rule="big"),
    ):
        episodes.take(step)

    assert episodes.of("A") == (
        Standing("late", 3, day("2025-01-10")),
        Standing("big", 1, day("2025-01-12")),
    )
    episodes.take(alarm("2025-02-01", transition="CLEARED", severity=3))
    assert [one.rule for one in episodes.of("A")] == ["big"]
    assert episodes.of("B") == ()


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 2.5), (0.1, 1.3), (1, 4)])
def test_a_quantile_lies_between_its_neighbours(share: float, value: float) -> None:
    assert quantile([1, 2, 3, 4], share) == pytest.approx(value)
    assert quantile([], share) is None
