"""The same arms on the same images, divided another way: how far one split flatters."""

from collections.abc import Sequence

from core.schemas.experiment import other_arm
from core.schemas.results import EvaluateResult, PrepareResult, TrainResult
from core.schemas.statistics import SeedTest
from core.schemas.summary import Data, Group, SplitAccuracy, SplitComparison
from evaluator import provenance, statistics
from evaluator.groups import build_groups
from evaluator.provenance import Result
from evaluator.rows import build_rows, published_models, traceable


def compare(
    groups: Sequence[Group], data: Data | None, others: Sequence[Result], missing: list[str]
) -> SplitComparison | None:
    """Accuracies of the experiment's own groups beside those of the same arms on another split.

    None where there are no other results, or nothing was scored on both splits. Results that cannot be used become
    lines of `missing`.

    Args:
        others: results of arms named after the experiment's with the other policy at the end.
    """
    there = provenance.describe_data(next((r for r in others if isinstance(r, PrepareResult)), None))
    if data is None or there is None:
        return None
    missing += provenance.untested(there, f" on the {there.policy} split")
    trainings = [result for result in others if isinstance(result, TrainResult)]
    published = published_models(trainings)
    scored = traceable((r for r in others if isinstance(r, EvaluateResult)), published, missing)
    found = {(g.arm, g.framework): g for g in build_groups(trainings, build_rows(published, scored, (), {}))}
    both = [(group, found.get((other_arm(group.arm, there.policy), group.framework))) for group in groups]
    pairs = [(own, other) for own, other in both if other and statistics.paired_differences(own, other)]
    if not pairs:
        return None
    tests = statistics.corrected([statistics.seed_test(statistics.paired_differences(*pair)) for pair in pairs])
    images = (data.images("test"), there.images("test"))
    rows = tuple(_row(*pair, test) for pair, test in zip(pairs, tests, strict=True))
    return SplitComparison(policies=(data.policy, there.policy), test_images=images, rows=rows)


def _row(own: Group, other: Group, difference: SeedTest) -> SplitAccuracy:
    common = statistics.differences_by_seed(own, other).keys()
    # Of the seeds that both have, so that the two means differ by the mean difference.
    here, there = (
        statistics.spread([seed.accuracy for seed in group.seeds if seed.seed in common]) for group in (own, other)
    )
    assert here, "pairs have common seeds"
    assert there, "pairs have common seeds"
    return SplitAccuracy(
        arm=own.arm,
        mode=own.mode,
        framework=own.framework,
        own=here,
        other=there,
        difference=difference,
    )
