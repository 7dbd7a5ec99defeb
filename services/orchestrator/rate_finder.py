"""Looks for a learning rate of one arm: prepares the data where that is missing, and has a trainer service search."""

from core.errors import InvalidInputError
from core.schemas.base import Schema, content_id
from core.schemas.experiment import Arm, Experiment
from core.schemas.results import FindRateResult, PrepareResult
from core.schemas.specs import FindRateSpec, Framework
from core.store import Store
from services.client.control import TrainerClient, raise_unless_succeeded
from services.client.directory import Directory
from services.orchestrator import steps
from services.orchestrator.reporter import Reporter
from services.orchestrator.steps import Step

RESULT = "result.json"


class Range(Schema):
    """What is tried."""

    lowest: float
    highest: float
    steps: int


class RateFinder:
    """Searches for one experiment; a search that was made before is read from the store."""

    def __init__(self, experiment: Experiment, directory: Directory, store: Store, reporter: Reporter) -> None:
        self._experiment, self._directory, self._store, self._reporter = experiment, directory, store, reporter

    def find(self, arm: str, framework: Framework, span: Range, seed: int) -> FindRateResult:
        """Losses and suggestions of an arm in a framework.

        Raises:
            InvalidInputError: the arm is unknown, or the loss exploded at once.
        """
        recipe = self._arm(arm)
        with TrainerClient(self._directory.target(f"trainer-{framework}")) as trainer:
            source = trainer.inspect(self._experiment.data.source)
            prepare = steps.prepare_step(self._experiment.data, source.digest, framework)
            prepared = PrepareResult.model_validate_json(self._do(prepare, trainer))
            spec = FindRateSpec(
                framework=framework,
                seed=seed,
                architecture=recipe.architecture,
                data=prepared.fingerprint,
                recipe=recipe.recipe,
                originals=steps.originals(self._experiment.data, source.digest, recipe.recipe),
                **span.model_dump(),
            )
            return FindRateResult.model_validate_json(
                self._do(Step(spec, f"trainer-{framework}", f"{arm} {framework}"), trainer)
            )

    def _arm(self, name: str) -> Arm:
        if name not in self._experiment.arms:
            raise InvalidInputError(f"unknown arm {name!r}; the arms are {', '.join(self._experiment.arms)}")
        return self._experiment.arms[name]

    def _do(self, step: Step, trainer: TrainerClient) -> bytes:
        """The step's result document, from the store or from the service."""
        run_id = content_id(step.spec.kind, step.spec)
        if not self._store.has("results", run_id):
            trainer.create(run_id, step.spec)
            try:
                raise_unless_succeeded(trainer.finish(run_id, lambda event: self._show(step, event)))
            except KeyboardInterrupt:
                trainer.cancel(run_id)
                raise
            self._reporter.finished(step, "done", "")
        return (self._store.path("results", run_id) / RESULT).read_bytes()

    def _show(self, step: Step, event: object) -> None:
        progress = getattr(event, "progress", None)
        if progress is not None and progress.phase:
            self._reporter.progress(step, progress.phase, progress.done, progress.total, dict(progress.values))
