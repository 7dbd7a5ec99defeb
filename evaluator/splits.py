"""The same arms on the same images, divided another way: how far one split flatters."""

from collections.abc import Sequence

from core.schemas.results import EvaluateResult, PrepareResult, TrainResult
from core.schemas.summary import Data, Group, SplitAccuracy, SplitComparison
from evaluator import provenance
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
    trainings = [result for result in others if isinstance(result, TrainResult)]
    published = published_models(trainings)
    scored = traceable((r for r in others if isinstance(r, EvaluateResult)), published, missing)
    found = {(g.arm, g.framework): g for g in build_groups(trainings, build_rows(published, scored, (), {}))}
    rows = []
    for group in groups:
        other = found.get((f"{group.arm}-{there.policy}", group.framework))
        if group.accuracy and other and other.accuracy:
            rows.append(
                SplitAccuracy(
                    arm=group.arm,
                    mode=group.mode,
                    framework=group.framework,
                    own=group.accuracy,
                    other=other.accuracy,
                )
            )
    if not rows:
        return None
    images = (data.images("test"), there.images("test"))
    return SplitComparison(policies=(data.policy, there.policy), test_images=images, rows=tuple(rows))
