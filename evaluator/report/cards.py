"""Model cards: one Markdown page for each served artefact, for whoever meets the file without its report."""

from collections.abc import Iterator

from core import repeats
from core.schemas.data import class_names
from core.schemas.summary import Arm, Row, Summary
from evaluator import naming, text
from evaluator.report import operating_tables, tables
from evaluator.report.columns import percentile_note
from evaluator.report.html import describe_load
from evaluator.report.pipes import escape, markdown_table
from evaluator.report.recipes import describe_recipe

FEW = 100
"""Test images of a class below which its recall is known only roughly."""


def cards(summary: Summary) -> dict[str, str]:
    """File name, `<model>-v<version>.md`, to the card of every artefact that was scored or loaded."""
    found: dict[str, str] = {}
    for row in summary.rows:
        found.setdefault(f"{row.model}-v{row.version}.md", card(row, summary))
    return found


def card(row: Row, summary: Summary) -> str:
    """The card of one artefact; what was not measured is said to be so."""
    arm = next((arm for arm in summary.arms if arm.name == row.arm), None)
    blocks = [
        f"# {row.model}, version {row.version}",
        f"An image classifier trained with {text.framework(row.framework)} and exported as "
        f"{naming.made(row)}, served by {text.runtime(row.runtime)}. From the experiment "
        f"“{escape(summary.title)}”.",
        *_section("Intended use", _use(summary)),
        *_section("Data", _data(summary)),
        *_section("Training", _training(row, arm)),
        *_section("Metrics", _metrics(row, summary)),
        *_section("Serving", _serving(row, summary)),
        *_section("Temperature and threshold", _operating(row)),
        *_section("Robustness", _robustness(row)),
        *_section("Limits", _limits(row, summary)),
        *_section("Artefact", _artefact(row)),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    content = list(lines)
    if content:
        yield f"## {title}"
        yield "\n".join(f"- {line}" if not line.startswith("|") else f"\n{line}\n" for line in content).strip()


def _use(summary: Summary) -> Iterator[str]:
    if data := summary.data:
        height, width, channels = data.image.shape
        yield f"Tells {text.count(len(data.classes), 'class', 'classes')} apart: {escape(text.names(data.classes))}."
        yield (
            f"Input `image`: uint8 [batch, {height}, {width}, {channels}], raw pixels 0 to 255, scaled "
            "in the graph. Output `probabilities`: float32, one row for each image, summing to one."
        )
        yield (
            f"Images are decoded and resized as in training ({data.image.color}, {data.image.geometry}, "
            f"{data.image.filter}); another way costs accuracy that was not measured here."
        )
    yield "Made to compare frameworks, exports and runtimes. Another use needs an evaluation on its own images."


def _data(summary: Summary) -> Iterator[str]:
    if (data := summary.data) is None:
        yield "Not recorded."
        return
    counts = ", ".join(f"{data.images(split):,} {split}" for split in data.counts)
    yield f"{escape(data.source)}; {counts}; split policy {data.policy}."
    yield f"Fingerprint of the prepared bytes: `{data.fingerprint}`."
    if data.skipped:
        yield f"{text.count(len(data.skipped), 'image')} could not be decoded and were left out."


def _training(row: Row, arm: Arm | None) -> Iterator[str]:
    if arm:
        yield f"{describe_recipe(arm)}."
    meaning = (
        "the same initial weights, batches and arithmetic in every framework"
        if row.mode == "matched"
        else "the framework's own defaults"
    )
    named = f"Arm {row.arm}" if row.arm == row.mode else f"Arm {row.arm}, {row.mode}"
    yield f"{named}: {meaning}. Seed {row.seed}."
    note = " (contended: does not compare)" if row.training_contended else ""
    yield f"{text.seconds(row.training_seconds)} in training steps{note}."


def _metrics(row: Row, summary: Summary) -> Iterator[str]:
    if row.accuracy is None or row.accuracy_interval is None or row.images is None:
        yield "Not scored."
        return
    interval = text.interval(row.accuracy_interval)
    share = f"Accuracy **{text.percent(row.accuracy)}**, 95% Wilson interval {interval}"
    yield f"{share}, on {row.images:,} test images, as served."
    if row.macro_f1 is not None and row.log_loss is not None:
        tested = sum(one.support > 0 for one in row.classes)
        of = f" over the {tested} of {len(row.classes)} classes with test images" if tested < len(row.classes) else ""
        yield f"Macro F1 {row.macro_f1:.4f}{of}, log loss {row.log_loss:.4f} nats."
    if scores := row.scores:
        top = "".join(f"top {k} {text.percent(share)}, " for k, share in scores.top_k.items())
        yield (
            f"{top[:1].upper()}{top[1:]}Brier score {scores.brier:.4f} (0 to 1), expected calibration error "
            f"{text.percent(scores.calibration.error)} over {round(1 / scores.calibration.width)} bins of equal width."
        )
        if scores.roc_auc is not None and scores.average_precision is not None:
            means = "means over classes, each against the rest"
            of = f"of class {escape(scores.positive)}" if scores.positive else means
            yield f"ROC AUC {scores.roc_auc:.4f}, average precision {scores.average_precision:.4f} ({of})."
    if test := row.against_best:
        yield (
            f"Against the most accurate artefact of the experiment, on the same images: {test.only_first:,} right "
            f"in that one alone, {test.only_second:,} in this one alone; McNemar's exact test, corrected by Holm: "
            f"{text.p_value(test.p_adjusted)}."
        )
    if (test := row.against_fp32) and row.accuracy_change is not None:
        yield (
            f"Against the fp32 ONNX on ONNX Runtime: accuracy {text.signed_points(row.accuracy_change)}; "
            f"{test.only_first:,} images right in that one alone, {test.only_second:,} in this one alone, "
            f"{text.p_value(test.p_adjusted)}."
        )
    if row.classes:
        yield markdown_table(tables.class_report(row.classes))


def _serving(row: Row, summary: Summary) -> Iterator[str]:
    if (load := row.load) is None:
        return
    yield (
        f"p50 {text.milliseconds(repeats.typical(load, repeats.p50))}, "
        f"p99 {text.milliseconds(repeats.typical(load, repeats.p99))}, "
        f"{text.significant(repeats.typical(load, repeats.throughput))} images/s"
        f"{' (medians over the repeats)' * (len(load.runs) > 1)}. {describe_load(summary)}."
    )
    if note := percentile_note(99.0)(row):
        yield f"To be read with care: {note}."


def _operating(row: Row) -> Iterator[str]:
    if (point := row.operating) is None:
        return
    warm = point.temperature
    before = f" from {text.percent(row.scores.calibration.error)}" if row.scores else ""
    yield (
        f"Temperature {warm.value:.4f}, fitted on {point.images:,} validation images: softmax(ln p / T) brings the "
        f"calibration error on the test images{before} to {text.percent(warm.calibration.error)}. The server does not "
        "apply it."
    )
    if cut := point.threshold:
        yield (
            f"Threshold {cut.value:.4f} on the probability of {escape(cut.positive)}, chosen on the same images: test "
            f"sensitivity {text.share(cut.test.sensitivity)}, specificity {text.share(cut.test.specificity)}; at "
            f"one half {text.share(cut.test_at_half.sensitivity)} and {text.share(cut.test_at_half.specificity)}."
        )


def _robustness(row: Row) -> Iterator[str]:
    for kind in operating_tables.kinds([row]):
        shares = [one.accuracy for one in row.robustness if one.corruption == kind]
        figures = ", ".join(text.percent(share, 1) for share in shares)
        yield f"{operating_tables.CORRUPTIONS[kind]}, severity 1 to {len(shares)}: accuracy {figures}."


def _limits(row: Row, summary: Summary) -> Iterator[str]:
    yield "Measured on held-out images of the same source; none from elsewhere, damaged or of no class."
    if not (row.operating and row.operating.threshold):
        yield "The most probable class is the answer, whatever its probability; no threshold was chosen."
    if untested := [one.name for one in row.classes if not one.support]:
        it = "it is" if len(untested) == 1 else "they are"
        yield f"No test image of {escape(class_names(untested))}: how well {it} recognised is not known."
    if summary.data and (unseen := summary.data.without("validation")):
        yield f"No validation image of {escape(class_names(unseen))}: what is chosen on that split does not know of it."
    if few := [one for one in row.classes if 0 < one.support < FEW]:
        names = text.names([f"{one.name} ({one.support:,})" for one in few])
        yield f"Fewer than {FEW} test images, so recall is known only roughly: {escape(names)}."
    parity, of = row.export_parity, "the fp32 model it was made of" if row.quantised else "the model in memory"
    yield (
        f"Export: probabilities within {text.scientific(parity.largest_difference)} of {of}, "
        f"{text.count(parity.disagreements, 'prediction')} changed."
    )
    if not summary.complete:
        yield f"The experiment is incomplete: {text.count(len(summary.missing), 'part is', 'parts are')} missing."


def _artefact(row: Row) -> Iterator[str]:
    yield f"{text.size(row.size_bytes)}, sha256 over its files `{row.artifact}`."
