"""What arms are called on the page: without the scale, which the heading says."""

from core.schemas.attribution import Attribution, Share
from core.schemas.experiment import FULL, Experiment
from core.schemas.search import SearchOutcome
from core.schemas.summary import SplitComparison, Summary


def without_scale(arm: str, scale: str) -> str:
    """The name as the file has it, in front of what an attribution or a search adds."""
    if scale == FULL:
        return arm
    name, found, added = arm.rpartition(f"-{scale}")
    return name + added if found else arm


def short_arm(arm: str, summary: Summary) -> str:
    """The same for an arm of a result."""
    return without_scale(arm, Experiment.model_validate_json(summary.spec_json).scale)


def bare_arm(arm: str, mode: str) -> str:
    """Without the mode too, where that is said beside it; empty where nothing else is in the name."""
    return f"-{arm}".removesuffix(f"-{mode}").removeprefix("-")


def unscaled(summary: Summary) -> Summary:
    """A result with the file's own names of its arms, in everything that tables and pictures show; not in its rows."""
    scale = Experiment.model_validate_json(summary.spec_json).scale
    if scale == FULL:
        return summary
    return summary.model_copy(
        update={
            "arms": tuple(a.model_copy(update={"name": without_scale(a.name, scale)}) for a in summary.arms),
            "groups": tuple(g.model_copy(update={"arm": without_scale(g.arm, scale)}) for g in summary.groups),
            "trainings": tuple(t.model_copy(update={"arm": without_scale(t.arm, scale)}) for t in summary.trainings),
            "attribution": summary.attribution and _attribution(summary.attribution, scale),
            "search": summary.search and _search(summary.search, scale),
            "other_split": summary.other_split and _split(summary.other_split, scale),
        }
    )


def _attribution(found: Attribution, scale: str) -> Attribution:
    def renamed(share: Share) -> Share:
        return share.model_copy(update={"arm": without_scale(share.arm, scale)})

    changes = {
        "arms": tuple(without_scale(arm, scale) for arm in found.arms),
        "shares": tuple(map(renamed, found.shares)),
        "alone": tuple(map(renamed, found.alone)),
    }
    return found.model_copy(update=changes)


def _search(found: SearchOutcome, scale: str) -> SearchOutcome:
    return found.model_copy(
        update={"plan": found.plan.model_copy(update={"arm": without_scale(found.plan.arm, scale)})}
    )


def _split(found: SplitComparison, scale: str) -> SplitComparison:
    rows = (row.model_copy(update={"arm": without_scale(row.arm, scale)}) for row in found.rows)
    return found.model_copy(update={"rows": tuple(rows)})
