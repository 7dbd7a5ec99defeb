"""One result file and what it says about its study."""

from dataclasses import dataclass

from core.schemas.attribution import Attribution
from core.schemas.experiment import Experiment
from core.schemas.study import Study
from core.schemas.summary import Summary
from evaluator.attribution import counted_once
from evaluator.claims.arms import unscaled
from evaluator.claims.judge import Finding
from evaluator.studies.defaults import attribution_shortfalls, untested

SMALL = "small"
"""The scale that is there to try an experiment, in minutes."""


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
    def shown(self) -> Summary:
        """Its summary with the names that its arms have in the file."""
        return unscaled(self.summary)

    @property
    def is_small(self) -> bool:
        """Whether it is only there to try the experiment."""
        return self.experiment.scale == SMALL

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Sorts the results of a study: those with the best evidence first, the small ones last."""
        tested = sum(finding.test is not None and finding.testable for finding in self.findings)
        work = max((f.images * f.epochs * f.seeds for f in (*self.findings, *self.repeated)), default=0)
        return self.is_small, -tested, -work

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
        found = self.shown.attribution
        if found is None:
            return None
        return untested(found) if self.attribution_shortfalls else counted_once(found)

    @property
    def attribution_shortfalls(self) -> tuple[str, ...]:
        """Why the attribution is not tested; empty where it is, or is not there."""
        found = self.summary.attribution
        return attribution_shortfalls(found, self.summary, self.study) if found else ()

    @property
    def waterfall(self) -> str:
        """The attribution's picture, likewise."""
        return f"images/study-{self.name}-waterfall.svg"
