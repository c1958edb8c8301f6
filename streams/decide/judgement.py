"""What one policy makes of a customer's facts, apart from them: it may change places with another.

Facts are folded once. Whoever else judges by them keeps what follows from its own policy here.
"""

from __future__ import annotations

from msgspec import Struct, field

from tocsin.streams.ledger.documents import NEVER, Collecting, Episode, Summary


class Judgement(Struct):
    """Episodes, score, classes, the step of collection, the next look; fields as in `Summary`."""

    next_date: int = NEVER
    repeat_on: int = NEVER
    open_episodes: int = 0
    episodes: dict[str, Episode] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)
    score: int | None = None
    grade: str = ""
    points: list[int] = field(default_factory=list)
    score_on: int = NEVER
    abc: str = ""
    rfm: str = ""
    rfa: str = ""
    collecting: Collecting | None = None

    def exchange(self, one: Summary) -> None:
        """Put this into a summary, and keep what was there."""
        one.next_date, self.next_date = self.next_date, one.next_date
        one.repeat_on, self.repeat_on = self.repeat_on, one.repeat_on
        one.open_episodes, self.open_episodes = self.open_episodes, one.open_episodes
        one.episodes, self.episodes = self.episodes, one.episodes
        one.turns, self.turns = self.turns, one.turns
        one.score, self.score = self.score, one.score
        one.grade, self.grade = self.grade, one.grade
        one.points, self.points = self.points, one.points
        one.score_on, self.score_on = self.score_on, one.score_on
        one.abc, self.abc = self.abc, one.abc
        one.rfm, self.rfm = self.rfm, one.rfm
        one.rfa, self.rfa = self.rfa, one.rfa
        one.collecting, self.collecting = self.collecting, one.collecting
