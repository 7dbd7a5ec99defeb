"""`summary.json`: what all results of an experiment add up to; report, CLI and scripts read this one document."""

from typing import Literal

import pydantic

from core.formats import get_format
from core.schemas.attribution import Attribution
from core.schemas.base import Schema, Sha256, parse_json, refuse_other_version
from core.schemas.data import ImageSpec, absent
from core.schemas.environment import Environment
from core.schemas.loads import Load, Saturation
from core.schemas.metrics import EpochMetrics, Parity
from core.schemas.recipe import Recipe
from core.schemas.results import ClassMetrics
from core.schemas.scores import Agreement, Corrupted, Curve, Disagreement, Loss, Operating, PairedTest, Scores
from core.schemas.search import SearchOutcome
from core.schemas.specs import FormatName, Framework, Precision, RuntimeName
from core.schemas.statistics import DefaultsTest, FrameworkTest, SeedTest

Mode = Literal["matched", "idiomatic"]
PickKind = Literal["accuracy", "p99", "throughput", "cpu", "size"]


class Spread(Schema):
    """Repeats of one quantity over seeds."""

    count: int
    mean: float
    std: float | None
    """Sample standard deviation (n − 1); None for a single value."""
    minimum: float
    maximum: float
    interval: tuple[float, float] | None = None
    """Student's t interval of the mean at 95 %; None for a single value, and where the values do not differ."""

    @property
    def range(self) -> float:
        return self.maximum - self.minimum


class Row(Schema):
    """One line of the verdict table: one artefact served by one runtime. None means: not measured."""

    arm: str
    mode: Mode
    framework: Framework
    format: FormatName
    runtime: RuntimeName
    precision: Precision = "fp32"
    """What it computes in: int8 is another artefact, bf16 the same one in another runtime."""
    seed: int
    model: str
    version: int
    artifact: Sha256
    size_bytes: int
    export_parity: Parity
    """Artefact, loaded again, against the model in memory; an int8 one against the fp32 one it was made of."""
    training_seconds: float
    """Time in training steps, validation and export excluded."""
    images_per_second: float
    training_contended: bool
    images: int | None = None
    """Test images scored."""
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    """Wilson score interval at 95 %."""
    macro_f1: float | None = None
    """Mean over the classes that have test images."""
    log_loss: float | None = None
    classes: tuple[ClassMetrics, ...] = ()
    """The classification report without its means; empty in a summary of an earlier version."""
    scores: Scores | None = None
    operating: Operating | None = None
    """Temperature and threshold, chosen on the validation split."""
    robustness: tuple[Corrupted, ...] = ()
    """The test split under corruptions, where that was asked for."""
    against_best: PairedTest | None = None
    """The most accurate artefact (first) against this one (second), on the same images, corrected for all such tests;
    None for the most accurate itself and where predictions are missing."""
    parity: Parity | None = None
    """Served probabilities against those of the framework's native format of the same training, of a variant against
    `against_fp32`'s artefact; None for the native format itself and where that was not scored."""
    against_fp32: PairedTest | None = None
    """Of a variant: the same training's fp32 ONNX on ONNX Runtime (first) against this one (second), on the same
    images, corrected for all variants."""
    accuracy_change: float | None = None
    """Of a variant: its accuracy minus that of the fp32 ONNX, as a share of one."""
    load: Load | None = None
    """The load test with the settings all rows share."""
    best_rate: float | None = None
    """The highest rate of its saturation curve within the bound, queries per second; 0 where none of those measured
    held it, None where there is no curve with a bound."""

    @property
    def quantised(self) -> bool:
        """Whether the artefact itself is in eight bits."""
        return self.precision == "int8"

    @property
    def variant(self) -> bool:
        """Whether it is the ONNX artefact made or served another way: int8, or a runtime not its format's own."""
        return self.quantised or self.runtime != get_format(self.format).runtime

    @property
    def label(self) -> str:
        """Short and unique inside one experiment: `matched keras s0 onnx/onnxruntime`, `… onnx-int8/onnxruntime`."""
        own = f"{self.format}-{self.precision}" if self.quantised else self.format
        return f"{self.arm} {self.framework} s{self.seed} {own}/{self.runtime}"


class Pick(Schema):
    """One answer to "what should I ship?"."""

    kind: PickKind
    title: str
    row: int
    """Index into Summary.rows."""
    value: str
    """The figure that won, with its unit."""
    detail: str
    """What it costs elsewhere, and how sure it is."""


class Verdict(Schema):
    """What to ship. `row` is None where nothing could be recommended."""

    headline: str
    reason: str
    row: int | None = None
    picks: tuple[Pick, ...] = ()
    method: str = ""
    """Which test decides that two accuracies cannot be told apart."""


class Arm(Schema):
    """A named entry of the experiment: network, mode and recipe."""

    name: str
    mode: Mode
    architecture: str
    parameters: int
    trainable_parameters: int
    recipe: Recipe
    frameworks: tuple[Framework, ...]
    seeds: tuple[int, ...]
    between_frameworks: float | None
    """Largest difference of the frameworks' mean accuracies over seeds; None with one framework."""
    between_seeds: float | None
    """Largest range of one framework's accuracies over seeds; None with one seed."""
    finding: str
    """The two numbers above, and what the paired tests over seeds say of the arm's frameworks, as sentences."""


class SeedAccuracy(Schema):
    """Test accuracy of one training, scored as ONNX."""

    seed: int
    accuracy: float
    interval: tuple[float, float]


class Group(Schema):
    """All seeds of one framework in one arm."""

    arm: str
    mode: Mode
    framework: Framework
    seeds: tuple[SeedAccuracy, ...]
    accuracy: Spread | None
    """ONNX test accuracy; None where nothing was scored as ONNX."""
    training_seconds: Spread | None
    """Of the trainings that ran alone; None where none did."""


class Training(Schema):
    """One training: its curve and its cost."""

    run_id: str
    arm: str
    framework: Framework
    seed: int
    history: tuple[EpochMetrics, ...]
    seconds: dict[str, float]
    images_per_second: float
    peak_memory_bytes: int
    attempts: int
    contended: bool


class Export(Schema):
    """One published artefact."""

    arm: str
    framework: Framework
    seed: int
    format: FormatName
    model: str
    version: int
    artifact: Sha256
    size_bytes: int
    export_seconds: float
    parity: Parity


class PairParity(Schema):
    """Two artefacts of one training, served. Rows are indices into Summary.rows."""

    first: int
    second: int
    parity: Parity


class Classification(Schema):
    """Confusion matrix, classification report, curves and worst images of one artefact of its arm's first seed."""

    arm: str
    framework: Framework
    seed: int
    format: FormatName
    runtime: RuntimeName
    precision: Precision = "fp32"
    images: int
    classes: tuple[ClassMetrics, ...]
    macro: ClassMetrics
    weighted: ClassMetrics
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class."""
    row: int | None = None
    """Index into Summary.rows."""
    representative: bool = True
    """Whether it stands for its arm and framework where only one artefact of each is shown; earlier versions had no
    others."""
    roc: Curve | None = None
    """False positive rate to true positive rate; with more than two classes the mean of each class against the rest."""
    precision_recall: Curve | None = None
    """Recall to precision, averaged likewise."""
    losses: tuple[Loss, ...] = ()
    """The test images with the largest losses, the worst first."""


class Data(Schema):
    """The prepared data all results share."""

    fingerprint: Sha256
    source: str
    """One line: where the images came from."""
    image: ImageSpec
    policy: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Split to class to number of images."""
    skipped: tuple[str, ...]
    seconds: float | None = None
    """What preparing it took, once for all trainings; None in a summary of an earlier version."""

    def images(self, split: str) -> int:
        """Number of images in a split; 0 for a split that is not there."""
        return sum(self.counts.get(split, {}).values())

    def without(self, split: str) -> tuple[str, ...]:
        """The classes of which a split has no image, in label order; none for a split that is not there."""
        return absent(self.counts, self.classes, split)


class SplitAccuracy(Schema):
    """One arm and framework trained on both splits: ONNX test accuracies over seeds."""

    arm: str
    mode: Mode
    framework: Framework
    own: Spread
    """On the experiment's split."""
    other: Spread
    difference: SeedTest
    """Own minus other, over the seeds scored on both; corrected for all rows."""


class SplitComparison(Schema):
    """The same arms on the same images, divided another way."""

    policies: tuple[str, str]
    """The experiment's own first."""
    test_images: tuple[int, int]
    rows: tuple[SplitAccuracy, ...]


UNTESTED = "test images of "
"""How the line of `missing` begins that is about classes without test images."""
TRAINING, LOAD_TEST = " training", "Load test"
"""How the roles of trainings end (`PyTorch training`), and the role of load tests."""


class Place(Schema):
    """An environment, and what was measured in it."""

    roles: tuple[str, ...]
    environment: Environment


class Summary(Schema):
    """Everything a report says, without the images and the predictions."""

    schema_version: Literal[1, 2] = 2
    """1 lacks what has a default here: it is read, and a report made from it has fewer sections."""
    experiment: str
    title: str
    description: str
    verdict: Verdict
    rows: tuple[Row, ...]
    arms: tuple[Arm, ...]
    groups: tuple[Group, ...]
    trainings: tuple[Training, ...]
    exports: tuple[Export, ...]
    classifications: tuple[Classification, ...]
    loads: tuple[Load, ...]
    """Every load test, also those with settings other than the table's."""
    saturation: tuple[Saturation, ...] = ()
    framework_tests: tuple[FrameworkTest, ...] = ()
    """Frameworks compared over seeds, every pair of every arm."""
    defaults: tuple[DefaultsTest, ...] = ()
    """Every pair of frameworks in arms that differ in their mode alone; empty in a summary of an earlier version."""
    claims: tuple[str, ...] = ()
    """What these results alone say of the claims of the study, a line for each claim with a verdict, and one for what
    was not tested; empty where no study is repeated, and in a summary of an earlier version."""
    attribution: Attribution | None = None
    search: SearchOutcome | None = None
    other_split: SplitComparison | None = None
    """None where it was not asked for, or nothing was scored on both."""
    step_seconds: dict[str, float] = pydantic.Field(default_factory=dict)
    """Kind of step (prepare, train, quantize, evaluate, loadtest) to what all of them took, one after another; empty
    in a summary of an earlier version."""
    agreement: Agreement | None = None
    disagreements: tuple[Disagreement, ...] = ()
    parities: tuple[PairParity, ...] = ()
    """Every pair of artefacts of the first seed of each arm and framework; empty in a summary of an earlier version."""
    data: Data | None
    places: tuple[Place, ...]
    notes: tuple[str, ...]
    """What a reader must know to read the figures right."""
    missing: tuple[str, ...]
    """One line per step that failed or result that could not be used, and one for classes that no test image is of."""
    spec_json: str = pydantic.Field(repr=False)
    """The frozen experiment."""

    @property
    def representatives(self) -> tuple[Classification, ...]:
        """One classification for each arm and framework."""
        return tuple(one for one in self.classifications if one.representative)

    @property
    def unusable(self) -> tuple[str, ...]:
        """The lines of `missing` about steps and results; classes without test images are a fact of the data."""
        return tuple(line for line in self.missing if not line.startswith(UNTESTED))

    @property
    def complete(self) -> bool:
        """True when every step of the experiment gave a usable result."""
        return not self.missing


def parse_summary(text: str | bytes, what: str) -> Summary:
    """Validates a `summary.json`, also one that an earlier version wrote.

    Raises:
        InvalidInputError: naming `what`; for a document of another version, that version and those that are read.
    """
    refuse_other_version(text, (1, 2), what, "run the experiment again, only its report is made anew")
    return parse_json(Summary, text, what)
