"""What the rows of a picture are called."""

from core.schemas.experiment import FULL, Experiment
from core.schemas.summary import Summary


def short_arm(arm: str, summary: Summary) -> str:
    """Without the scale, which all arms of a result have in their names, in front of what an attribution adds."""
    scale = Experiment.model_validate_json(summary.spec_json).scale
    return arm if scale == FULL else arm.replace(f"-{scale}", "", 1)
