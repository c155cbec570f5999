"""The states of a label: what they are called, when one follows another, what an impression's row says.

Flink (streaming/java, LabelState), Spark (training/data/label_states.py) and the naive twin in tests/parity give the
same row for the same events; docs/labels.md explains it. Times are event times in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from adfeast.errors import SettingsError
from adfeast.settings import Settings

PROVISIONAL = "provisional"  # a negative that may still become a positive; it weighs less than 1
POSITIVE = "positive"  # a click came within the window
NEGATIVE = "negative"  # the window has closed without one
LATE_POSITIVE = "late_positive"  # and then a click came; its label stays 0
STATES = (PROVISIONAL, POSITIVE, NEGATIVE, LATE_POSITIVE)

# Why an event is in no row of a label.
WITHOUT_IMPRESSION = "without_impression"  # a click for which no impression came as long as one could
EXPIRED = "expired"  # an impression that came when its label was forgotten already
CROWDED = "crowded"  # a click beyond the number that is remembered of an impression
REASONS = (WITHOUT_IMPRESSION, EXPIRED, CROWDED)

MOST_CLICKS = 64  # different ones of one impression that the stream job remembers


@dataclass(frozen=True)
class LabelRules:
    """When a label changes.

    Attributes:
        window_ms: a click at most so long after its impression makes it positive.
        grace_ms: a click belongs to its impression if it lies at most so long before it (two clocks), or after its
            window (a late positive).
        steps: while its window is open, a negative's weight grows in so many equal steps from 0 to 1.
    """

    window_ms: int
    grace_ms: int
    steps: int = 4

    @classmethod
    def of(cls, settings: Settings) -> LabelRules:
        """Those of a deployment.

        Raises:
            SettingsError: it keeps no label states.
        """
        if settings.label_window_s is None:
            raise SettingsError(
                "label states are not kept: set label_window_s to the seconds after which a click no longer counts"
            )
        return cls(settings.label_window_s * 1000, settings.label_grace_s * 1000, settings.label_steps)

    def step_ms(self, step: int) -> int:
        """Age of an impression at which its negative weighs step / steps; at the last one the window closes."""
        return -(-step * self.window_ms // self.steps)

    @property
    def impression_kept_ms(self) -> int:
        """How far behind the watermark an impression is forgotten: none of its clicks can be on time then."""
        return self.window_ms + self.grace_ms

    @property
    def click_kept_ms(self) -> int:
        """So long a click waits for its impression, which may lie the grace after it and is taken for so long, too."""
        return self.impression_kept_ms + self.grace_ms

    @property
    def text(self) -> str:
        """As the Java function takes them."""
        return f"window={self.window_ms};grace={self.grace_ms};steps={self.steps}"


@dataclass(frozen=True)
class Label:
    """The state of an impression's label and what it was made of.

    Attributes:
        label: 1 for `positive`, else 0: whether a click came within the window.
        weight: how much of the window has been seen; 1 when the label is final.
        at_ms: since when it is so.
        shown_ms: the impression's time; the earliest if it was sent with several.
        clicked_ms: the first click within the window; of a late positive the first after it.
        duplicate_impressions: repetitions of the impression.
        clicks: different clicks that belong to it, with those before and late.
        duplicate_clicks: repetitions of them.
        clicks_before: of them, those that lie before the impression: the clock of one sender is wrong. They change
            nothing else.
        clicks_late: of them, those after the window.
    """

    impression_id: str
    state: str
    label: int
    weight: float
    at_ms: int
    shown_ms: int
    clicked_ms: int | None
    duplicate_impressions: int
    clicks: int
    duplicate_clicks: int
    clicks_before: int
    clicks_late: int

    @property
    def outcome(self) -> tuple[str, int, float, int, int, int | None]:
        """State, label, weight and times, without what was counted beside."""
        return self.state, self.label, self.weight, self.at_ms, self.shown_ms, self.clicked_ms


@dataclass(frozen=True)
class Refused:
    """An event that is in no row of a label, and why.

    Attributes:
        at_ms: the event's time.
    """

    impression_id: str
    event_id: str
    at_ms: int
    reason: str = field(default=WITHOUT_IMPRESSION)
