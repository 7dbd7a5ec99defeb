"""The words a verdict may have, and what each of them means."""

from typing import Literal

Verdict = Literal[
    "holds",
    "does not hold: the opposite",
    "no difference shown",
    "no difference from the published figure shown",
    "higher than published",
    "lower than published",
    "holds: more than that",
    "does not hold: less than that",
    "no difference from that factor shown",
    "not tested at this scale",
    "times do not compare",
    "cannot be tested",
    "not measured",
    "not reproduced: weights unavailable",
]
NOT_TESTED: Verdict = "not tested at this scale"
TIMES_DIFFER: Verdict = "times do not compare"
UNTESTABLE: Verdict = "cannot be tested"
NOT_MEASURED: Verdict = "not measured"
NO_WEIGHTS: Verdict = "not reproduced: weights unavailable"
NO_DIFFERENCE: Verdict = "no difference shown"
UNTESTED: tuple[Verdict, ...] = (NOT_TESTED, TIMES_DIFFER, UNTESTABLE, NOT_MEASURED, NO_WEIGHTS)
"""Words that decide nothing."""

WEIGHTS_UNAVAILABLE = "weights unavailable"
"""How a trainer's error begins where pretrained weights are not there, and what a claim says of itself then."""

MEANINGS: tuple[tuple[tuple[Verdict, ...], str], ...] = (
    (
        ("holds", "does not hold: the opposite"),
        "a difference, as claimed or the other way round: corrected p below 0.05",
    ),
    (
        (NO_DIFFERENCE,),
        "corrected p of 0.05 or more: no proof that there is none; *why* says what the interval leaves open",
    ),
    (
        ("higher than published", "lower than published", "no difference from the published figure shown"),
        "the same for a claim that is a figure: tested against what was published",
    ),
    (
        ("holds: more than that", "does not hold: less than that", "no difference from that factor shown"),
        "the same for a bound, and for a number of times as long: the ratio is tested against it, on a log "
        "scale, so that it is the geometric mean of the seeds'",
    ),
    ((NOT_TESTED,), "too few seeds, images or epochs for any of the above; figures are shown, nothing is said of them"),
    (
        (TIMES_DIFFER,),
        "large enough, but the trainings shared the machine, ran on different ones or unequal shares of the epochs, or "
        "are of PyTorch or fastai from before freed memory was kept",
    ),
    ((UNTESTABLE,), "large enough, but the difference is the same in every seed, or nothing has the figure"),
    ((NOT_MEASURED,), "no figure of ours answers the claim"),
    ((NO_WEIGHTS,), "needs pretrained weights that were not there"),
)
"""Every verdict, those that mean alike together."""
