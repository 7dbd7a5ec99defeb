"""Claim by claim: what was measured, and what may be said about it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.schemas.experiment import Experiment
from core.schemas.metrics import EpochMetrics
from core.schemas.statistics import SeedTest
from core.schemas.study import Claim, Measure, Side, Study
from core.schemas.summary import TRAINING, Arm, Summary
from evaluator import text
from evaluator.claims.arms import without_scale
from evaluator.claims.evidence import Epochs, shortfalls
from evaluator.claims.figures import FIGURES, LAST_EPOCHS
from evaluator.claims.levels import SPLITS, at_chance
from evaluator.claims.memory import BEFORE, gave_back
from evaluator.claims.verdicts import (
    NO_DIFFERENCE,
    NO_WEIGHTS,
    NOT_MEASURED,
    NOT_TESTED,
    TIMES_DIFFER,
    UNTESTABLE,
    WEIGHTS_UNAVAILABLE,
    Verdict,
)
from evaluator.paired import ALPHA
from evaluator.provenance import count_machines
from evaluator.statistics import SEEDS_NEEDED, corrected, of_one_run, seed_test


@dataclass(frozen=True)
class Measured:
    """One side in one arm: figures by seed, and how much work is behind them."""

    side: Side
    measure: Measure
    arm: str
    shown: str
    """The arm's name without the scale."""
    by_seed: Mapping[int, float]
    ran: Mapping[int, int]
    """Epochs by seed."""
    trained: Arm | None
    """What the arm trains; None where the summary does not say."""
    contended: bool
    """At least one of its trainings overlapped with other work: its times do not compare."""
    ours: bool = False
    """The study names no epochs on this side."""
    at_chance: bool = False
    """Its mean accuracy is within noise of always answering the largest class."""
    scaled: bool = False
    """Seconds are extrapolated to all of the study's epochs, because some training ran another share of them."""
    waited: float | None = None
    """Share of its training seconds that it waited for data; None where that was not measured."""

    @property
    def epochs(self) -> int:
        """The fewest that any of its trainings ran; 0 without a training."""
        return min(self.ran.values(), default=0)

    @property
    def work(self) -> Epochs:
        """Those and how many they are of."""
        return Epochs(self.epochs, self.side.epochs, self.ours)


@dataclass(frozen=True)
class Finding:
    """One verdict row."""

    claim: Claim
    mode: str
    """matched or idiomatic; empty where nothing was measured."""
    sides: tuple[Measured, ...]
    images: int
    test: SeedTest | None
    """First minus second, or first, as of one run, minus the published figure; of a claim with `times` the logarithm of
    first by second, minus that of `times`; None where there is no common seed."""
    shortfalls: tuple[str, ...]
    """Why it may only say "not tested at this scale"; empty where it is large enough."""
    incomparable: tuple[str, ...] = ()
    """Why its times do not compare."""
    data: str = ""
    """Fingerprint of what was trained and tested on."""
    untestable: tuple[str, ...] = ()
    """Why nothing could be tested however large it were."""
    published_gap: float | None = None
    """The published difference it is held against: the claim's own, or that of the claim it stands for."""
    verdict: Verdict = NOT_TESTED

    @property
    def testable(self) -> bool:
        """Whether it may lead to a verdict."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it may not; those of its size first."""
        return (*self.shortfalls, *self.incomparable, *self.untestable)

    @property
    def at_chance(self) -> bool:
        """Whether one of its accuracies says nothing."""
        return any(side.at_chance for side in self.sides)

    @property
    def seeds(self) -> int:
        return self.test.seeds if self.test else 0

    @property
    def epochs(self) -> int:
        return min((side.epochs for side in self.sides), default=0)


def study_of(summary: Summary) -> Study | None:
    """The study an experiment repeats, from its frozen file; None where it repeats none."""
    return Experiment.model_validate_json(summary.spec_json).study


def measure(summary: Summary, study: Study) -> list[Finding]:
    """Every claim in every mode it was measured in, without a verdict."""
    experiment = Experiment.model_validate_json(summary.spec_json)
    return [finding for claim in study.claims for finding in _measure(claim, study, summary, experiment)]


def decide(found: Sequence[Finding]) -> list[Finding]:
    """The findings of one study, of all its results, with their verdicts.

    The p values are corrected for all that may lead to a verdict; whether one may is known without looking at them.
    """
    tests = iter(corrected([finding.test for finding in found if finding.test and finding.testable]))
    return [_decide(one, next(tests) if one.test and one.testable else one.test) for one in found]


def _measure(claim: Claim, study: Study, summary: Summary, experiment: Experiment) -> Iterator[Finding]:
    if why := claim.unavailable or _without_weights(claim, summary):
        yield Finding(claim, "", (), 0, None, (why,))
        return
    images = summary.data.images("train") if summary.data else 0
    for number, arm in enumerate(claim.first.arms):
        sides = tuple(_side(claim, side, number, study, summary, experiment) for side in claim.sides)
        if claim.is_about_time and _unequal(sides):
            sides = tuple(_scaled(side) for side in sides)
        test = _test(claim, sides)
        yield Finding(
            claim=claim,
            mode=experiment.arms[arm].mode,
            sides=sides,
            images=images,
            test=test,
            shortfalls=tuple(_shortfalls(study, claim, sides, summary, test)),
            incomparable=tuple(_incomparable(sides, summary)) if claim.is_about_time else (),
            untestable=tuple(_untestable(claim, summary, test)),
            published_gap=study.gap_for(claim),
            data=summary.data.fingerprint if summary.data else "",
        )


def _without_weights(claim: Claim, summary: Summary) -> str:
    """Why none of a claim's arms was trained, where that is for lack of pretrained weights; otherwise empty."""
    arms = {arm for side in claim.sides for arm in side.arms}
    if any(training.arm in arms for training in summary.trainings):
        return ""
    started = tuple(f"{arm} " for arm in arms)  # as the label of a training does
    failed = [line for line in summary.missing if line.startswith(started) and WEIGHTS_UNAVAILABLE in line]
    return WEIGHTS_UNAVAILABLE if failed else ""


def _side(claim: Claim, side: Side, number: int, study: Study, summary: Summary, experiment: Experiment) -> Measured:
    measure, arm = claim.measure_of(side), side.arms[number]
    trainings = [t for t in summary.trainings if (t.arm, t.framework) == (arm, side.framework)]
    by_seed = FIGURES[measure](summary, trainings, claim.of_class)
    return Measured(
        side=side,
        measure=measure,
        arm=arm,
        shown=without_scale(arm, experiment.scale),
        by_seed=by_seed,
        ran={training.seed: len(training.history) for training in trainings},
        trained=next((one for one in summary.arms if one.name == arm), None),
        contended=any(training.contended for training in trainings),
        ours=not study.names_epochs(side),
        at_chance=_at_chance(measure, by_seed, summary),
        waited=_waited([epoch for training in trainings for epoch in training.history]),
    )


def _waited(epochs: Sequence[EpochMetrics]) -> float | None:
    waits = [epoch.data_seconds for epoch in epochs if epoch.data_seconds is not None]
    whole = sum(epoch.train_seconds for epoch in epochs)
    return sum(waits) / whole if whole and len(waits) == len(epochs) else None


def _at_chance(measure: Measure, by_seed: Mapping[int, float], summary: Summary) -> bool:
    if measure not in SPLITS or not by_seed:
        return False
    return at_chance(sum(by_seed.values()) / len(by_seed), summary, SPLITS[measure])


def _unequal(sides: Sequence[Measured]) -> bool:
    """Whether not all trainings ran the same share of the study's epochs; a published figure is one of all of them."""
    shares = {epochs / side.side.epochs for side in sides for epochs in side.ran.values()}
    return len(shares | ({1.0} if len(sides) == 1 else set())) > 1


def _scaled(side: Measured) -> Measured:
    """Without trainings that were stopped before their first epoch ended."""
    seconds = {seed: took * side.side.epochs / side.ran[seed] for seed, took in side.by_seed.items() if side.ran[seed]}
    return replace(side, by_seed=seconds, scaled=True)


def _test(claim: Claim, sides: Sequence[Measured]) -> SeedTest | None:
    first = sides[0].by_seed
    if len(sides) == 1:
        assert claim.first.published is not None, "a claim about a figure has one"
        differences = [value - claim.first.published for value in first.values()]
    else:
        second = sides[1].by_seed
        pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
        differences = [a - b for a, b in pairs] if claim.times is None else _log_ratios(pairs, claim.times)
    if not differences:
        return None
    test = seed_test(differences)
    return of_one_run(test) if claim.is_figure else test


def _log_ratios(pairs: Sequence[tuple[float, float]], times: float) -> list[float]:
    """How far each ratio is from `times`: twice and half of it are equally far. Times of zero have no ratio."""
    return [math.log(first / second) - math.log(times) for first, second in pairs if first > 0 and second > 0]


def _shortfalls(
    study: Study, claim: Claim, sides: Sequence[Measured], summary: Summary, test: SeedTest | None
) -> Iterator[str]:
    images = summary.data.images("train") if summary.data else 0
    # More seeds would not bring a class that is not there.
    seeds = SEEDS_NEEDED if _class_is_missing(claim, summary) else test.seeds if test else 0
    yield from shortfalls(study, seeds, images, [side.work for side in sides])
    yield from _before_the_last(sides)


def _untestable(claim: Claim, summary: Summary, test: SeedTest | None) -> Iterator[str]:
    if _class_is_missing(claim, summary):
        yield f"there is no class {claim.of_class} among the results"
    if test and test.seeds >= SEEDS_NEEDED and test.p_value is None:
        yield "the same difference in every seed"


def _class_is_missing(claim: Claim, summary: Summary) -> bool:
    return bool(claim.of_class) and claim.of_class not in {one.name for row in summary.rows for one in row.classes}


def _before_the_last(sides: Sequence[Measured]) -> Iterator[str]:
    """A published figure of the last epoch is held against nothing before that, though half of them were enough."""
    if len(sides) == 1 and sides[0].measure in LAST_EPOCHS:
        work = sides[0].work
        if work.enough and work.ran < work.whole:
            yield f"{work.words}, and the published {LAST_EPOCHS[sides[0].measure]} accuracy is that after the last"


def _incomparable(sides: Sequence[Measured], summary: Summary) -> Iterator[str]:
    if any(side.scaled for side in sides):
        yield "times of different shares of the study's epochs, scaled to all of them"
    if any(side.contended for side in sides):
        yield "the trainings shared the machine (contended)"
    frameworks = dict.fromkeys(side.side.framework for side in sides)
    roles = {f"{text.framework(framework)}{TRAINING}" for framework in frameworks}
    if count_machines([place.environment for place in summary.places if roles & {*place.roles}]) > 1:
        yield "the trainings ran on different machines, devices or quotas"
    if found := gave_back(summary, frameworks):
        yield f"{text.names([text.framework(one) for one in found])} {BEFORE}"


def _decide(finding: Finding, test: SeedTest | None) -> Finding:
    return replace(finding, test=test, verdict=_verdict(finding, test))


def _verdict(finding: Finding, test: SeedTest | None) -> Verdict:
    if not finding.sides:
        return NO_WEIGHTS if WEIGHTS_UNAVAILABLE in finding.shortfalls else NOT_MEASURED
    if finding.shortfalls or (test is None and not finding.untestable):
        return NOT_TESTED
    if finding.incomparable:
        return TIMES_DIFFER
    if finding.untestable or test is None or test.p_adjusted is None:
        return UNTESTABLE
    more, less, neither = _words(finding.claim)
    if test.p_adjusted >= ALPHA:
        return neither
    return more if test.mean > 0 else less


def _words(claim: Claim) -> tuple[Verdict, Verdict, Verdict]:
    """For significantly more than claimed, significantly less, and neither."""
    if claim.times is not None:
        return "holds: more than that", "does not hold: less than that", "no difference from that factor shown"
    if claim.second is None and claim.first.bound:
        return "holds: more than that", "does not hold: less than that", "no difference from the published figure shown"
    if claim.second is None:
        return "higher than published", "lower than published", "no difference from the published figure shown"
    return "holds", "does not hold: the opposite", NO_DIFFERENCE
