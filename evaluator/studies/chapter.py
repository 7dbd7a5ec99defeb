"""One result file and what it says about its study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.schemas.attribution import Attribution
from core.schemas.experiment import Experiment
from core.schemas.study import Study
from core.schemas.summary import Summary
from evaluator.studies.defaults import attribution_shortfalls, untested
from evaluator.studies.judge import Finding

Changed = Mapping[str, Sequence[str]]
"""Name of a result to the keys in which its experiment file is another one now."""


@dataclass(frozen=True)
class Chapter:
    """One result file and what it says about its study."""

    name: str
    summary: Summary
    study: Study
    findings: tuple[Finding, ...]
    repeated: tuple[Finding, ...] = ()
    """What rests on trainings that another result has too, with more seeds, and so is a finding of that one's alone."""

    @property
    def experiment(self) -> Experiment:
        """As it was frozen."""
        return Experiment.model_validate_json(self.summary.spec_json)

    @property
    def study_key(self) -> str:
        """What results of one study share."""
        return self.study.key_in(self.experiment.name)

    @property
    def chart(self) -> str:
        """Its picture's path, relative to the page."""
        return f"images/study-{self.name}.svg"

    @property
    def wall_time(self) -> str:
        """The picture of where the time went, likewise."""
        return f"images/study-{self.name}-time.svg"

    @property
    def attribution(self) -> Attribution | None:
        """Which default makes how much of the difference, without p values where it is too small for them; None where
        that was not asked."""
        found = self.summary.attribution
        return untested(found) if found and self.attribution_shortfalls else found

    @property
    def attribution_shortfalls(self) -> tuple[str, ...]:
        """Why the attribution is not tested; empty where it is, or is not there."""
        found = self.summary.attribution
        return attribution_shortfalls(found, self.summary, self.study) if found else ()

    @property
    def waterfall(self) -> str:
        """The attribution's picture, likewise."""
        return f"images/study-{self.name}-waterfall.svg"
