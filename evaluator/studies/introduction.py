"""How the page is to be read: what a verdict needs, what its words mean, which way differences go, what times are."""

from evaluator.claims.evidence import SHARE_NEEDED
from evaluator.claims.memory import PAGE
from evaluator.claims.verdicts import MEANINGS, NOT_TESTED, TIMES_DIFFER
from evaluator.statistics import SEEDS_NEEDED

TITLE = """# The five studies

Each of these five published comparisons trained each framework once. Here they are repeated, with several seeds
where the machine allows, in two modes: with each framework's own defaults for whatever an arm's recipe leaves open
(*idiomatic*; what it writes, such as a batch size, holds in both modes), and with everything equal but the
framework's kernels (*matched*). An *arm* is one network with one recipe in one mode; a *bare loop* the lines of a
[minimal training script](training-speed.md) in that framework. Written by `make studies` from the result files in
[results/](results/): no result on this page is typed. What the studies say, and what fits the machine, is told by
the files in `experiments/`."""

ANSWERS = """## What is left of the published differences

For each study the claim in which only the framework differs: same images, same network, same written recipe.
*Published* is the difference that the study reports, mostly between networks or recipes that were not the same.
*Bounds only*: it gives "above" or a range, of which no difference is made. Differences are accuracies in points, mean
over seeds and 95% interval; those that were not tested are figures without a verdict."""

GLANCE = """Every claim that compares the accuracy of two frameworks by one measure, in two groups. In the first both
sides train one network by one recipe; there *matched* is equal in all but the frameworks' kernels, and what was
published may have compared something else. In the second the sides differ as in the study, in both modes: such a
difference is of networks and recipes, not of frameworks."""

DIRECTION = """**Differences** are first side minus second as the claim names them, so positive is as claimed; of
a claim that is a figure they are measured minus published. In times the sides are named again, and which took longer.
Figures are means over the seeds that both sides have. Accuracies are those of the ONNX artefact on the test images,
as served, unless the row says training or validation images: those are the last epoch's, from the framework's own
loop. *At chance level*: within noise of answering the largest class always."""

TESTS = f"""**Tests.** A claim is tested on the difference over seeds: mean, Student's 95% interval, paired t test,
corrected by Holm for all rows of the study that may lead to a verdict, in whichever result they are. Intervals are
not corrected, so one may exclude zero where the corrected p does not. Seeds vary initial weights, order and dropout;
split and test images are the same in all, so intervals hold for these images. With own defaults equal seeds share
nothing else between frameworks: pairing them is arbitrary there and costs power. A published figure that is a claim
by itself, and a published difference, are of one run: they are held against where one more run of ours would lie,
Student's t of s·√(1 + 1/n), for a difference as if the two runs of a seed were any two runs. A bound is tested on the
mean. Fewer than {SEEDS_NEEDED} seeds, or under {SHARE_NEEDED:.0%} of the study's images or epochs, may only say
*{NOT_TESTED}*: both limits are ours. A claim that is by itself an accuracy in training or validation, published after
the last epoch, needs all of them. Where the study names no epochs, the number they are counted against is ours, and
marked so. Which default makes a difference is tested by seed too, under the same rule: both modes against each other,
corrected for all such tests of the study, and switch by switch, corrected for those of its section."""

TIMES = f"""**Times** are of training steps, all epochs, with validation where the row says so;
*{TIMES_DIFFER}* where the trainings shared the machine (*contended*), ran on different machines or different shares
of the study's epochs (then they are scaled to all of them), or are of PyTorch or fastai from before freed memory was
[kept]({PAGE}). In the tables of where the time went *open* is opening the data and *wait* is for batches in training;
a dash there: not measured, and part of *train* (earlier versions did not measure Keras's). *Start* is importing the
framework; without such a column the services had imported it before. Preparing the images once for all trainings is
in nobody's share: matched arms train on what came out of it, idiomatic ones decode and resize the originals
themselves, in their own time."""

OVERVIEW = """## Every claim

Each claim with its best evidence in each mode: one with a verdict before one without, one above chance level before
one that is not, then the one of the most images × epochs × seeds. What rests on trainings that another result has too,
with more seeds, is counted there only. A dash: no arm in this mode, or nothing measured in either."""


def reading() -> str:
    """How verdicts are made, and every word they may have."""
    words = "\n".join(
        f"- {' · '.join(f'*{verdict}*' for verdict in verdicts)}: {meaning}." for verdicts, meaning in MEANINGS
    )
    return "\n\n".join(["## How to read the rest", DIRECTION, TESTS, f"**Verdicts.**\n\n{words}", TIMES])
