"""What a published study claims: the yardstick `docs/studies.md` holds an experiment's results against."""

from typing import Literal

import pydantic

from core.schemas.base import Name, Schema
from core.schemas.names import Framework

Measure = Literal["accuracy", "recall", "train_accuracy", "validation_accuracy", "training_seconds", "fit_seconds"]
"""accuracy and recall: of the served artefact on the test images, recall of one class; train_accuracy and
validation_accuracy: of the last epoch, as the framework's own loop reports them, in training with dropout and
augmentation; training_seconds: the training of all epochs; fit_seconds: their training and validation."""
TIMES: tuple[Measure, ...] = ("training_seconds", "fit_seconds")


class Side(Schema):
    """One side of a claim: a framework, and the arms of this experiment that stand for what the study did with it."""

    framework: Framework
    arms: tuple[Name, ...] = ()
    """Idiomatic first. The n-th arm of one side is compared with the n-th of the other. None of an unavailable one."""
    epochs: int = pydantic.Field(ge=1)
    """The study's; where it names none, what this experiment's full size trains."""
    epochs_open: bool = False
    """Whether the study names none on this side, so that `epochs` is a choice made here."""
    published: float | None = None
    """The study's figure, a share of one or seconds; None where it gives words only."""
    bound: bool = False
    """Whether it is no figure but a bound or a range (above 90 %, 70 to 75 %): no difference is made of it. Alone
    it is a lower bound: the claim is that there is more than that."""
    measure: Measure | None = None
    """What the study measured on this side; None: the claim's measure."""


class Claim(Schema):
    """One sentence of a study that can be measured."""

    text: str
    measure: Measure = "accuracy"
    first: Side
    second: Side | None = None
    """None: the claim is a figure, not a comparison."""
    times: float | None = pydantic.Field(default=None, gt=0)
    """Of seconds on both sides: how many times as long as the second the first takes. The ratio is tested against it;
    None: only which side takes longer is."""
    of_class: str | None = None
    """The class whose recall it is."""
    stands_for: str | None = None
    """The text of the study's claim whose published difference this one tests with the same network and recipe on both
    sides, which the study did not do."""
    reason: str = ""
    """What differed between the sides in the study besides the framework, as far as it says."""
    unavailable: str | None = None
    """Why the claim cannot be measured anywhere this experiment runs as it stands, for example missing weights."""

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)

    def measure_of(self, side: Side) -> Measure:
        """What is measured on a side."""
        return side.measure or self.measure

    @property
    def alike(self) -> bool:
        """Whether only the framework differs between its two sides: same network, recipe and measure."""
        sides = [(side.arms, self.measure_of(side)) for side in self.sides]
        return len(sides) == 2 and sides[0] == sides[1] and len({side.framework for side in self.sides}) == 2

    @property
    def published_gap(self) -> float | None:
        """The study's own difference of shares, first minus second; None where it gives none, or bounds."""
        if self.is_about_time or self.second is None or self.first.bound or self.second.bound:
            return None
        if self.first.published is None or self.second.published is None:
            return None
        return self.first.published - self.second.published

    @property
    def is_figure(self) -> bool:
        """Whether it is what one run of the study gave, which no run has to give again, and not a bound."""
        return self.second is None and not self.first.bound

    @property
    def is_about_time(self) -> bool:
        """Seconds; otherwise it is about some share of images."""
        return self.measure in TIMES

    @pydantic.model_validator(mode="after")
    def _comparable(self) -> "Claim":
        measures = {self.measure_of(side) for side in self.sides}
        if len({measure in TIMES for measure in (*measures, self.measure)}) > 1:
            raise ValueError(
                f"seconds are compared with seconds; write {' or '.join(TIMES)} as the claim's measure only"
            )
        if self.times is not None and not (self.is_about_time and self.second):
            raise ValueError(
                f"times compares the seconds of two sides; it needs measure {' or '.join(TIMES)} and second"
            )
        if ("recall" in measures) != (self.of_class is not None):
            raise ValueError("recall is that of a class; write of_class with measure recall, and only with it")
        if self.unavailable is None and not self.first.arms:
            raise ValueError("name the arms that measure it in first.arms, or say why it is unavailable")
        if len({len(side.arms) for side in self.sides}) > 1:
            raise ValueError("first.arms and second.arms are compared pairwise; name as many of each")
        if self.second is None and self.first.published is None and self.unavailable is None:
            raise ValueError("a claim without second is about a figure; write first.published")
        if self.stands_for is not None and (not self.alike or self.is_about_time):
            raise ValueError("stands_for goes with the same arms on both sides, and a share of images")
        return self


class Study(Schema):
    """A published comparison."""

    title: str
    key: Name | None = None
    """The same in every experiment file that repeats this study: their claims are corrected together. None, as in files
    from before there was a key: the experiment's name up to its first hyphen."""
    images: int = pydantic.Field(ge=1)
    """Training images of the study."""
    epochs_open: bool = False
    """As on a side, where the study names the epochs of none."""
    fits: str
    """Which epochs and seeds the machine at hand allows, and what follows for verdicts: written before a run, corrected
    after it. A result keeps the words it ran with."""
    claims: tuple[Claim, ...] = pydantic.Field(min_length=1)

    def names_epochs(self, side: Side) -> bool:
        """Whether a side's epochs are the study's and not a choice made here."""
        return not (self.epochs_open or side.epochs_open)

    def gap_for(self, claim: Claim) -> float | None:
        """The published difference that a claim is held against: its own, or that of the claim it stands for."""
        if claim.stands_for is None:
            return claim.published_gap
        return next((one.published_gap for one in self.claims if one.text == claim.stands_for), None)

    def key_in(self, experiment: str) -> str:
        """What results of one study share, whichever experiment they are of; given the experiment's name."""
        return self.key or experiment.partition("-")[0]
