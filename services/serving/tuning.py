"""Chooses instances, threads, batch size and delay of a model by measuring: the better half goes on, measured longer.

Successive halving (Jamieson and Talwalkar, 2016): many choices are soon seen to be bad, the time goes to those close
together.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from services.serving.batcher import LIGHT_NS
from services.serving.compute import Predict
from services.serving.loading import LoadedModel
from services.serving.trial import Measured, measure
from services.serving.tuned import Choice, Tuned

BATCHES = (1, 2, 4, 8, 16, 32)
DELAYS_US = (200, 1000)
NEARLY = 0.1
"""Choices this close in capacity count as equal, in every round, because repeated trials on a quiet machine differ by
nearly that. Of those the one with the largest batches goes on that are neither LONG_MS nor more than plenty: trials are
without a transport, and behind one a larger batch costs less CPU per light image (docs/serving.md).
"""
PLENTY, PLENTY_OF_HEAVY = 16, 4
"""Images in a batch beyond which a transport's share per image is small, of light images and of heavy ones: more must
show in the capacity. Heavy: those whose computing costs at least `batcher.LIGHT_NS` of CPU.
"""
LONG_MS = 40.0
"""Callers wait for all of a batch, and its memory grows with it: batches that compute for longer count as worse, the
longer the worse.
"""
WORTH_A_DELAY = 0.15
"""A delay must bring so much more capacity: every lone request pays for it in full."""
OVERTIME = 2.0
"""Times the seconds given after which no trial begins; at least the default is measured."""
Progress = Callable[[int, int, str], None]
"""Trials done, trials in all, and what the last one showed."""


@dataclass
class _Candidate:
    choice: Choice
    runs: list[Measured]

    @property
    def images_per_s(self) -> float:
        return median(run.images_per_s for run in self.runs)

    @property
    def capacity(self) -> float:
        return median(run.capacity for run in self.runs)

    @property
    def compute_ms(self) -> float:
        return median(run.compute_ms for run in self.runs)

    @property
    def batch_ms(self) -> float:
        """About how long a full batch computes on the CPU, as if its threads shared the work evenly."""
        return self.choice.max_batch * self.compute_ms / self.choice.threads

    @property
    def p99_ms(self) -> float:
        return median(run.p99_ms for run in self.runs)


def choices(threads: int, max_batch: int) -> list[Choice]:
    """What is tried first: every way to divide the threads among instances, with batches up to `max_batch`."""
    divided = sorted({(instances, max(1, threads // instances)) for instances in (1, 2, threads)} | {(1, 1)})
    kept = [(instances, each) for instances, each in divided if instances * each <= threads]
    batches = [batch for batch in BATCHES if batch <= max_batch]
    return [Choice(instances=instances, threads=each, max_batch=batch) for instances, each in kept for batch in batches]


async def tune(
    loaded: LoadedModel,
    default: Choice,
    predictor: Callable[[int], Predict],
    threads: int,
    seconds: float,
    machine: str,
    progress: Progress,
) -> Tuned:
    """The best choice for a model, in about `seconds`.

    Args:
        default: what the server would do; always among the last two: it is compared as thoroughly as the winner.
        predictor: loads the model for a number of threads.
    """
    started, load_average = time.monotonic(), os.getloadavg()[0]
    first = [choice for choice in choices(threads, loaded.config.max_request) if choice != default]
    candidates = [_Candidate(choice, []) for choice in (default, *first)]
    predictors = {each: predictor(each) for each in {one.choice.threads for one in candidates}}
    rounds = _rounds(len(candidates))
    total, done, plenty = sum(rounds) + len(DELAYS_US) + 1, 0, 0
    each_s = seconds / (total * 1.2)

    async def run(candidate: _Candidate) -> None:
        nonlocal done
        # A heavy model, or a busy machine: what was measured so far decides.
        if done and time.monotonic() - started > OVERTIME * seconds:
            return
        choice = candidate.choice
        candidate.runs.append(await measure(loaded, predictors[choice.threads], choice, each_s, threads))
        done += 1
        progress(done, total, f"{describe(choice)}: {candidate.runs[-1].capacity:,.0f} images/s")

    for size in rounds:
        candidates = _best(candidates, size, default, plenty)
        for candidate in candidates:
            await run(candidate)
        candidates = [one for one in candidates if one.runs]
        # By the first round, for all: a model in between must not change sides.
        plenty = plenty or _plenty(candidates)
    best = _ranked(candidates, plenty)[0]
    delayed = [_Candidate(best.choice.model_copy(update={"max_delay_us": delay}), []) for delay in DELAYS_US]
    for candidate in (best, *delayed):
        await run(candidate)
    winner = _ranked([one for one in (best, *delayed) if one.runs], plenty, WORTH_A_DELAY)[0]
    (before,) = [one for one in candidates if one.choice == default]
    return Tuned(
        model=loaded.artifact.name,
        artifact=loaded.artifact.digest,
        machine=machine,
        choice=winner.choice,
        capacity=winner.capacity,
        images_per_s=winner.images_per_s,
        p99_ms=winner.p99_ms,
        default=default,
        default_capacity=before.capacity,
        trials=done,
        seconds=time.monotonic() - started,
        load_average=load_average,
    )


def describe(choice: Choice) -> str:
    """A choice for people."""
    text = f"{choice.instances} × {choice.threads} threads, batches up to {choice.max_batch}"
    return text + (f", delay {choice.max_delay_us} µs" if choice.max_delay_us else "")


def _rounds(count: int) -> list[int]:
    """How many go on in each round, down to two."""
    sizes = [count]
    while sizes[-1] > 2:
        sizes.append(max(2, sizes[-1] // 2))
    return sizes


def _plenty(candidates: list[_Candidate]) -> int:
    """Images in a batch that are plenty of this model."""
    light = median(one.compute_ms for one in candidates) < LIGHT_NS / 1e6
    return PLENTY if light else PLENTY_OF_HEAVY


def _best(candidates: list[_Candidate], size: int, default: Choice, plenty: int) -> list[_Candidate]:
    """The `size` best so far, the default always among them."""
    if len(candidates) <= size:
        return candidates
    return sorted(_ranked(candidates, plenty), key=lambda one: one.choice != default)[:size]


def _ranked(candidates: list[_Candidate], plenty: int, nearly: float = NEARLY) -> list[_Candidate]:
    """Best first: of those with nearly the highest capacity the one that waits least, with the largest batches that are
    neither long nor more than `plenty` and the fewest threads, in as many instances; then the others by capacity.
    """
    enough = (1 - nearly) * max(one.capacity for one in candidates)

    def rank(one: _Candidate) -> tuple[float, ...]:
        choice, excess_ms = one.choice, max(0.0, one.batch_ms - LONG_MS)
        lanes = choice.instances * choice.threads
        capacity = min(one.capacity, enough)
        batches = -min(choice.max_batch, plenty), choice.max_batch
        return -capacity, choice.max_delay_us, excess_ms, *batches, lanes, choice.threads

    return sorted(candidates, key=rank)
