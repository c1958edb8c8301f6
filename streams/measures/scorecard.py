"""The risk score: points that a policy's components give, on a scale of 0 to 100, and its grade.

Additive and open: the points of every component are kept with the score. What can't be judged takes
no part: the scale is what the judged components could give at most. Components `on_top` only
worsen: their points are added to it, up to 100, so that a feed that is silent or missing changes
nothing. A customer of whom too little is known has no score, and `lacking` says what is missing.
Only what an event affected is counted again; every `review_days` all of it is, with the customer's
classes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from msgspec import Struct

from tocsin.streams.facts.texts import NO_TEXT, Text
from tocsin.streams.ledger.documents import NEVER, Summary
from tocsin.streams.ledger.ledger import ALL, SCORE, Ledger
from tocsin.streams.measures.customer_classes import Classes, classify
from tocsin.streams.measures.measure import Measure, Parameters, Weighed
from tocsin.streams.measures.severity import Ladder

GRADES = "ABCDE"
"""From the best to the worst."""

POINTS_MAX = 100
NOT_JUDGED = -1
"""In place of a component's points: its measure had nothing to go by."""

_WHOLE = ("",)


class Steps(Struct, frozen=True):
    """From which values on a component gives how many points; both rise.

    The ladder has the same values, for the measure to tell when one could be crossed.
    """

    ladder: Ladder
    values: tuple[int, ...]
    points: tuple[int, ...]

    def points_for(self, value: int) -> int:
        """The points of a value; a value equal to a step has reached it."""
        reached = bisect_right(self.values, value)
        return self.points[reached - 1] if reached else 0


class Component(Struct, frozen=True):
    """A measure that adds to the score. Steps by currency for money, else under the empty key.

    Over several currencies the one with the most points counts; `most` is what it can give.
    """

    name: str
    label: Text
    measure: Measure
    parameters: Parameters
    steps: dict[str, Steps]
    most: int
    whole: Steps | None
    """The only steps, where they don't depend on the currency."""
    is_on_top: bool = False
    """Its points are added to what the others make on their scale."""

    def count(self, ledger: Ledger, as_of: int) -> tuple[int, int]:
        """Points as of an epoch day, or NOT_JUDGED; and the next day on which they may change."""
        measure, whole, points, wake = self.measure, self.whole, NOT_JUDGED, NEVER
        for subject in ledger.summary.accounts if measure.by_currency else _WHOLE:
            steps = self.steps.get(subject) if whole is None else whole
            if steps is None:
                continue
            value, turn = measure.read(ledger, subject, as_of, self.parameters, steps.ladder)
            if turn < wake:
                wake = turn
            if value is not None and (given := steps.points_for(value)) > points:
                points = given
        return points, wake


class Strategy(Struct, frozen=True):
    """How customers of a grade are dealt with; `prepayment` is in basis points of an order."""

    limit: str
    terms_days: int
    prepayment: int
    hold: str
    review_days: int
    text: Text


class Scorecard(Struct, frozen=True):
    """A policy's components, grades (rungs B to E of a ladder), strategies, and least evidence."""

    components: tuple[Component, ...]
    settled_least: int
    known_days_least: int
    review_days: int
    grades: Ladder
    strategies: dict[str, Strategy]
    classes: Classes | None
    chances: tuple[tuple[int, int], ...] = ()
    """From how many points on how many of a thousand customers came to harm; both rise."""

    def chance(self, score: int | None) -> int | None:
        """How many of a thousand with a score came to harm, as fitted; None if none is known."""
        if score is None:
            return None
        found = [share for points, share in self.chances if points <= score]
        return found[-1] if found else None

    def score(self, points: list[int]) -> int:
        """0 to 100 from the points of all components, NOT_JUDGED where one takes no part."""
        total = most = on_top = 0
        for given, part in zip(points, self.components, strict=True):
            if given == NOT_JUDGED:
                continue
            if part.is_on_top:
                on_top += given
            else:
                total += given
                most += part.most
        scaled = (total * POINTS_MAX * 2 + most) // (most * 2) if most else 0  # half goes up
        return min(scaled + on_top, POINTS_MAX)

    @property
    def topics(self) -> frozenset[int]:
        """Topics that the score reads: nothing is counted while one of them is held."""
        return frozenset().union(*(part.measure.topics for part in self.components))

    def lacking(self, settled: int, known_days: int) -> list[str]:
        """Which evidence is missing for a score, and how much of it there is."""
        found = []
        if settled < self.settled_least:
            found.append(f"settled invoices: {settled} of {self.settled_least}")
        if known_days < self.known_days_least:
            found.append(f"days known: {known_days} of {self.known_days_least}")
        return found


class PointsBehind(Struct, frozen=True):
    """Which records stand behind a score: those of all components that give points."""

    components: tuple[Component, ...]

    def __call__(
        self, ledger: Ledger, subject: str, as_of: int, parameters: Parameters
    ) -> Iterable[Weighed]:
        """Each record weighs the points of all components that it stands for."""
        weights: dict[tuple[str, int, int], int] = {}
        for part, given in zip(self.components, ledger.summary.points, strict=False):
            if given <= 0:
                continue
            measure = part.measure
            for inner in ledger.summary.accounts if measure.by_currency else _WHOLE:
                for _, name, topic, offset in measure.behind(ledger, inner, as_of, part.parameters):
                    record = (name, topic, offset)
                    weights[record] = weights.get(record, 0) + given
        for (name, topic, offset), weight in weights.items():
            yield weight, name, topic, offset


class Scorer:
    """Keeps scores, grades and classes of a partition's ledgers by one policy, or none."""

    def __init__(self, card: Scorecard | None) -> None:
        self.card = card
        self._components = () if card is None else card.components
        self.review_days = NEVER if card is None else card.review_days
        self._plans: dict[int, tuple[int, ...]] = {}
        self._daily = tuple(
            place for place, part in enumerate(self._components) if part.measure.moves_by_time
        )

    def next_review(self, summary: Summary, today: int) -> int:
        """The next day on which a customer is looked at whatever happens.

        Counted from when it became known, which spreads reviews over the days. Of whom nothing is
        remembered any more, the last review holds until the next fact.
        """
        if self.card is None or self._is_settled(summary, today):
            return NEVER
        known, interval = summary.known_since, self.card.review_days
        day = known + ((today - known) // interval + 1) * interval
        enough = known + self.card.known_days_least
        return enough if today < enough < day else day

    def _is_settled(self, summary: Summary, today: int) -> bool:
        """Whether a review today is the last: no later one could find anything else."""
        card = self.card
        if summary.prune_on != NEVER or card is None or not self.is_review(summary, today):
            return False
        rfm = None if card.classes is None else card.classes.rfm
        recency = 0 if rfm is None else rfm.recency[-1]
        return (
            today - summary.known_since >= card.known_days_least
            and today - summary.last_issued_on > recency
        )

    def is_review(self, summary: Summary, today: int) -> bool:
        """Whether this is such a day."""
        known = today - summary.known_since
        card = self.card
        return card is not None and (
            known == card.known_days_least or known % card.review_days == 0
        )

    def update(self, ledger: Ledger, affected: int, as_of: int) -> int:
        """Count again what was affected; returns SCORE if score or grade changed."""
        plan = self._plans.get(affected)
        if plan is None:
            plan = self._plans[affected] = tuple(
                place
                for place, part in enumerate(self._components)
                if part.measure.affected_by & affected
            )
        return self._count(ledger, plan, as_of)

    def pass_day(self, ledger: Ledger, as_of: int) -> int:
        """Count again what moves by time alone, if its day has come."""
        summary = ledger.summary
        if as_of < summary.score_on:
            ledger.schedule_assessment(summary.score_on)
            return 0
        summary.score_on = NEVER
        return self._count(ledger, self._daily, as_of)

    def review(self, ledger: Ledger, as_of: int) -> int:
        """Count everything again, by whatever policy it was counted, and classify the customer."""
        summary = ledger.summary
        if classify(ledger, None if self.card is None else self.card.classes, as_of):
            ledger.is_touched = True
        before, summary.points, summary.score_on = summary.points, [], NEVER
        changed = self._count(ledger, (), as_of)
        if summary.points != before:
            ledger.is_touched = True
        return changed

    def _count(self, ledger: Ledger, plan: tuple[int, ...], as_of: int) -> int:
        summary, card = ledger.summary, self.card
        if (
            card is None
            or len(ledger.delays) < card.settled_least
            or as_of - summary.known_since < card.known_days_least
        ):
            return 0 if summary.score is None else _forget(ledger)
        components, points, is_changed = self._components, summary.points, False
        affected = ledger.affected
        if not points:  # the first score, or the first since the policy changed
            points = summary.points = [NOT_JUDGED] * len(components)
            plan = tuple(range(len(components)))
            is_changed = True
            ledger.affected = ALL  # a measure may build on its last reading: there was none
        for place in plan:
            given, turn = components[place].count(ledger, as_of)
            if turn < summary.score_on:
                summary.score_on = turn
                ledger.schedule_assessment(turn)
            if given != points[place]:
                points[place] = given
                is_changed = True
        ledger.affected = affected
        return _add_up(ledger, card, points) if is_changed else 0


def _add_up(ledger: Ledger, card: Scorecard, points: list[int]) -> int:
    summary = ledger.summary
    ledger.is_touched = True
    score = card.score(points)
    current = GRADES.index(summary.grade) if summary.grade else 0
    grade = GRADES[card.grades.level(score, current)]
    if score == summary.score and grade == summary.grade:
        return 0
    summary.score, summary.grade = score, grade
    return SCORE


def _forget(ledger: Ledger) -> int:
    summary = ledger.summary
    summary.score, summary.grade, summary.points, summary.score_on = None, "", [], NEVER
    ledger.is_touched = True
    return SCORE


def score_values(summary: Summary) -> dict[str, str]:
    """What texts say of score and grade in any language; empty without a score."""
    score = "" if summary.score is None else str(summary.score)
    return {"score": score, "grade": summary.grade, "points": "", "strategy": ""}


def fill_score_words(text: Text, card: Scorecard | None, summary: Summary) -> Text:
    """A text with `{points}` and `{strategy}` replaced by what each language says for them."""
    if card is None or not ("{points}" in text.en + text.zh or "{strategy}" in text.en + text.zh):
        return text
    strategy = card.strategies.get(summary.grade)
    advice = NO_TEXT if strategy is None else strategy.text
    given = _told(card, summary.points)
    return Text(
        text.en.replace("{points}", given.en).replace("{strategy}", advice.en),
        text.zh.replace("{points}", given.zh).replace("{strategy}", advice.zh),
    )


def _told(card: Scorecard, points: list[int]) -> Text:
    """The components that gave points, the most first; then those of the scale not judged."""
    pairs = list(zip(points, card.components, strict=False))
    giving = sorted(
        [pair for pair in pairs if pair[0] > 0], key=lambda pair: (-pair[0], pair[1].name)
    )
    missing = [part for given, part in pairs if given == NOT_JUDGED and not part.is_on_top]
    english = ", ".join(f"{part.label.en} {_of(given, part)}" for given, part in giving)
    chinese = "、".join(f"{part.label.zh}{_of(given, part)}" for given, part in giving)
    if missing:
        english += f"; not judged: {', '.join(part.label.en for part in missing)}"
        chinese += f"；未评：{'、'.join(part.label.zh for part in missing)}"
    return Text(english, chinese)


def _of(given: int, part: Component) -> str:
    return f"+{given}" if part.is_on_top else f"{given}/{part.most}"
