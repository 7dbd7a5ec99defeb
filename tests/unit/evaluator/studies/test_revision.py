"""What a result does not say of its loaders, on synthetic summaries: TEST DATA, no figure here was measured."""

from pathlib import Path

from core.schemas.data import FolderSource
from core.schemas.experiment import Experiment
from core.schemas.summary import Summary, Training, parse_summary
from evaluator.studies.page import Chapter, page
from evaluator.studies.results import keep
from evaluator.studies.revision import without_workers
from tests.unit.evaluator.studies.test_judge import CLEAR, IMAGES, study, summary

NOTE = (
    "> In this result the idiomatic loaders of PyTorch read their images in the training's own process; they have "
    "worker processes now."
)
DIGITS = summary(study(), CLEAR)
"""Arrays, which no loader decodes, in Keras and PyTorch."""


def of_files(whole: Summary) -> Summary:
    frozen = Experiment.model_validate_json(whole.spec_json)
    data = frozen.data.model_copy(update={"source": FolderSource(path="images")})
    return whole.model_copy(update={"spec_json": frozen.model_copy(update={"data": data}).model_dump_json()})


def counted(whole: Summary, framework: str, arm: str) -> Summary:
    """The trainings of one framework in one arm count their images."""

    def one(training: Training) -> Training:
        if (training.framework, training.arm) != (framework, arm):
            return training
        history = tuple(epoch.model_copy(update={"train_images": IMAGES}) for epoch in training.history)
        return training.model_copy(update={"history": history})

    return whole.model_copy(update={"trainings": tuple(map(one, whole.trainings))})


def told(whole: Summary) -> str:
    return page([Chapter("test", whole, study(), ())])


def test_a_result_from_before_the_loaders_had_worker_processes_says_so() -> None:
    older = of_files(DIGITS)
    assert without_workers(older) == ("pytorch",), "Keras has no such loader"
    assert NOTE in told(older)
    # Matched trainings read prepared arrays: counting them makes an idiomatic one no newer.
    assert NOTE in told(counted(older, "pytorch", "matched"))


def test_a_result_whose_trainings_count_their_images_has_had_worker_processes() -> None:
    assert "worker processes" not in told(counted(of_files(DIGITS), "pytorch", "idiomatic"))


def test_nothing_is_said_of_loaders_that_read_arrays() -> None:
    assert "worker processes" not in told(DIGITS)


def test_a_kept_result_keeps_the_count_of_images(tmp_path: Path) -> None:
    whole = counted(of_files(DIGITS), "pytorch", "idiomatic")
    path = tmp_path / "summary.json"
    path.write_text(whole.model_dump_json())
    folder = tmp_path / "results"
    folder.mkdir()
    kept = keep(path, folder)
    assert parse_summary(kept.read_bytes(), str(kept)).trainings == whole.trainings
