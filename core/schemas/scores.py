"""Scores that need the probabilities themselves, not only the answers; curves; paired tests; single images."""

from core.schemas.base import Schema


class CalibrationBin(Schema):
    """The images whose highest probability lies in one bin, `low` excluded and `high` included."""

    low: float
    high: float
    images: int
    confidence: float
    """Mean highest probability."""
    accuracy: float
    """Share of them classified correctly."""
    interval: tuple[float, float]
    """Wilson score interval of that share at 95 %."""


class Calibration(Schema):
    """Whether answers given with probability p are right in p of all cases."""

    error: float
    """Expected calibration error: the bins' |accuracy − confidence|, weighted by their images."""
    width: float
    """Width of a bin; `error` depends on it, so two errors compare only at one width."""
    bins: tuple[CalibrationBin, ...]
    """Those with images, ascending."""


class ClassAreas(Schema):
    """One class against the rest. None where the test split holds no image of the class, or no other."""

    name: str
    roc_auc: float | None
    average_precision: float | None


class Scores(Schema):
    """What one artefact's probabilities are worth."""

    top_k: dict[int, float]
    """k to the share of images whose true class is among the k most probable; only k below the number of classes."""
    brier: float
    """Half the squared distance between probabilities and truth, mean per image: 0 is perfect, 1 the worst."""
    calibration: Calibration
    positive: str | None
    """With two classes the positive one, the second; None with more, where the areas are means over classes."""
    roc_auc: float | None
    average_precision: float | None
    classes: tuple[ClassAreas, ...]


class Curve(Schema):
    """A curve through unit square, as points."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Rates(Schema):
    """Shares of a two-class decision. None where there is no image that a share could be of."""

    accuracy: float
    sensitivity: float | None
    """Of the positive images, those called positive: recall."""
    specificity: float | None
    """Of the negative images, those called negative."""
    precision: float | None
    """Of those called positive, the positive ones; None without positive images, of which it would say nothing."""
    f1: float | None


class Temperature(Schema):
    """One number T that softens probabilities: p becomes softmax(ln p / T). It changes no answer."""

    value: float
    log_loss: float
    """On the test split, after it."""
    brier: float
    calibration: Calibration
    """On the test split, after it."""


class Threshold(Schema):
    """The probability of the positive class from which on an image is called positive."""

    positive: str
    value: float
    validation: Rates
    """Where it was chosen: these flatter."""
    test: Rates
    test_at_half: Rates
    """The same images with 0.5 instead."""


class Operating(Schema):
    """Chosen on the validation split, kept beside the artefact and never in its graph."""

    images: int
    """Of the validation split."""
    temperature: Temperature
    threshold: Threshold | None = None
    """Only with two classes, and where the validation split has images of both."""


class Corrupted(Schema):
    """The test split under one corruption."""

    corruption: str
    severity: int
    """1 to 5."""
    accuracy: float
    interval: tuple[float, float]
    """Wilson score interval at 95 %."""


class PairedTest(Schema):
    """McNemar's exact test of two artefacts on the same images."""

    only_first: int
    """Images that only the first classified correctly."""
    only_second: int
    p_value: float
    """Two-sided, uncorrected."""
    p_adjusted: float
    """After Holm's correction for all tests made together."""


class AgreementPair(Schema):
    """Two artefacts on the same images. Rows are indices into Summary.rows."""

    first: int
    second: int
    agreement: float
    """Share of images both gave the same class, right or wrong."""
    test: PairedTest


class Agreement(Schema):
    """Artefacts compared with each other, one for each arm and framework."""

    rows: tuple[int, ...]
    """Indices into Summary.rows, in the order of the table."""
    images: int
    pairs: tuple[AgreementPair, ...]
    omitted: int = 0
    """Artefacts left out because there are too many for a readable matrix."""


class Loss(Schema):
    """One test image and what an artefact made of it."""

    index: int
    """Position in the test split, from 0."""
    true: str
    predicted: str
    probability: float
    """Of the predicted class."""
    true_probability: float
    loss: float
    """−ln of the true class's probability, in nats."""


class Disagreement(Schema):
    """One test image to which an artefact, as served, gave another class than the framework's native format did."""

    row: int
    """Index into Summary.rows."""
    index: int
    """Position in the test split, from 0."""
    true: str
    native: str
    served: str
    difference: float
    """Largest difference between the two sets of probabilities."""
