"""What the trainer service accepts, and how its workers are started."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import BakeoffError, InvalidInputError, MissingExtraError, WrongStateError
from core.formats import EXPORTS
from core.mirror import open_repository
from core.prepared import open_prepared
from core.results import read_result
from core.schemas.results import PrepareResult
from core.schemas.specs import FindRateSpec, QuantizeSpec, TrainSpec, parse_trainer_spec
from core.store import Store
from services.trainer.settings import TrainerSettings
from trainer.framework import check_installed
from trainer.originals import check_files
from trainer.quantization import check_quantization
from trainer.shared_memory import check_room
from trainer.training import check_training

WORKER = "trainer.worker"


class TrainerWork:
    """The rules of one trainer service."""

    def __init__(self, settings: TrainerSettings) -> None:
        self._settings = settings
        self._store = Store(settings.store, settings.cache)
        self._repository = open_repository(settings.repository, settings.cache)

    def accept(self, spec_json: str) -> tuple[str, str]:
        """Kind and canonical JSON of a spec this service can run; a domain error naming what is wrong otherwise."""
        spec = parse_trainer_spec(spec_json)
        if isinstance(spec, TrainSpec | FindRateSpec):
            self._check_training(spec)
        elif isinstance(spec, QuantizeSpec):
            check_quantization(spec, self._repository)
            open_prepared(self._store, spec.data)
        return spec.kind, spec.model_dump_json()

    def command(self, folder: Path, kind: str) -> Sequence[str]:
        """The worker of a run."""
        settings = self._settings
        return (
            *(WORKER, str(folder.absolute())),
            *("--store", settings.store, "--cache", str(settings.cache)),
            *("--repository", settings.repository, "--threads", str(settings.threads)),
            *("--device", settings.device),
        )

    def done(self, run_id: str) -> bool:
        """Whether the run's result is in the store; of a preparation, its images too."""
        if not self._store.has("results", run_id):
            return False
        with suppress(BakeoffError):  # What cannot be read is for whoever reads it.
            if isinstance(result := read_result(self._store, run_id), PrepareResult):
                return self._store.has("prepared", result.fingerprint)
        return True

    def clean(self) -> None:
        """Removes what killed workers left in the store and in the model repository."""
        self._store.sweep()
        self._repository.sweep()

    def _check_training(self, spec: TrainSpec | FindRateSpec) -> None:
        mine = self._settings.framework
        if spec.framework != mine:
            raise InvalidInputError(
                f"this service trains with {mine}, not {spec.framework}; send the run to its service"
            )
        formats = spec.formats if isinstance(spec, TrainSpec) else ()
        if foreign := sorted(set(formats) - set(EXPORTS[mine])):
            raise InvalidInputError(
                f"{mine} does not export {', '.join(foreign)}; it exports {', '.join(EXPORTS[mine])}"
            )
        try:
            check_installed(mine)
        except MissingExtraError as error:  # UNIMPLEMENTED is what a service without CheckRun answers.
            raise WrongStateError(str(error)) from error
        data = open_prepared(self._store, spec.data)
        check_training(spec, data.manifest)
        if spec.originals is not None and spec.recipe.pipeline == "framework":
            check_files(spec.originals, mine, data)
            check_room(spec.recipe, data.manifest.spec.image.shape)
