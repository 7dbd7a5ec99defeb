import itertools

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.schemas.metrics import Parity
from core.schemas.summary import Summary, parse_summary
from evaluator import parity
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.report.parity_tables import matrices
from evaluator.report.tables import exports
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment


def summary_of(experiment: Experiment) -> Summary:
    return summarise(experiment.spec, experiment.results, experiment.probabilities, experiment.labels)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    # The first seed, whose every format is scored, need not be the lowest one.
    return Experiment(arms=("matched",), frameworks=("keras", "pytorch"), seeds=(3, 1), images=60, load_tests=False)


@pytest.fixture(scope="module")
def summary(experiment: Experiment) -> Summary:
    return summary_of(experiment)


def test_measures_the_largest_and_mean_difference_and_counts_other_predictions() -> None:
    first = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]], np.float32)
    second = np.array([[0.4, 0.6], [0.5, 0.5], [0.1, 0.9]], np.float32)
    found = parity.compare(first, second)
    assert found.largest_difference == pytest.approx(0.2)
    assert found.mean_difference == pytest.approx(0.4 / 6)
    assert (found.disagreements, found.images) == (1, 3)


def test_equal_probabilities_differ_by_nothing() -> None:
    same = np.full((4, 3), 1 / 3, np.float32)
    assert parity.compare(same, same).largest_difference == 0


def test_float32_against_float64_is_compared_in_float64() -> None:
    exact = np.array([[1 / 3, 2 / 3]])
    assert parity.compare(exact.astype(np.float32), exact).largest_difference == pytest.approx(1.98e-8, rel=0.01)


@pytest.mark.parametrize("other", [(2, 3), (3, 2), (3, 3, 1)])
def test_refuses_other_images_or_classes(other: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="cannot compare"):
        parity.compare(np.zeros((3, 3), np.float32), np.zeros(other, np.float32))


def test_refuses_to_compare_no_images() -> None:
    with pytest.raises(InvalidInputError, match="no images"):
        parity.compare(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def test_every_pair_of_artefacts_of_a_first_seed_is_compared(summary: Summary, experiment: Experiment) -> None:
    keras = [i for i, row in enumerate(summary.rows) if (row.framework, row.seed) == ("keras", 3)]
    torch = [i for i, row in enumerate(summary.rows) if (row.framework, row.seed) == ("pytorch", 3)]
    assert (len(keras), len(torch)) == (3, 2)
    expected = [*itertools.combinations(keras, 2), *itertools.combinations(torch, 2)]
    assert [(pair.first, pair.second) for pair in summary.parities] == expected
    for pair in summary.parities:
        first, second = (
            experiment.probabilities[f"evaluate-{summary.rows[index].model}"] for index in (pair.first, pair.second)
        )
        assert pair.parity == parity.compare(first, second)
    assert parse_summary(summary.model_dump_json(), "summary.json") == summary


def test_an_artefact_without_predictions_is_compared_with_nothing(summary: Summary, experiment: Experiment) -> None:
    gone = next(i for i, row in enumerate(summary.rows) if (row.framework, row.format) == ("keras", "savedmodel"))
    kept = {k: v for k, v in experiment.probabilities.items() if k != f"evaluate-{summary.rows[gone].model}"}
    found = summarise(experiment.spec, experiment.results, kept, experiment.labels)
    assert len(found.parities) == 2
    assert all(gone not in (pair.first, pair.second) for pair in found.parities)


def test_a_matrix_has_a_line_and_a_column_for_every_artefact(summary: Summary) -> None:
    some = Parity(largest_difference=0.03, mean_difference=0.0012, disagreements=1234, images=5000)
    first = summary.parities[0].model_copy(update={"parity": some})
    found = summary.model_copy(update={"parities": (first, *summary.parities[1:])})
    tables = [table for _, table in matrices(found)]
    assert [table.headers for table in tables] == [
        ("Artefact", ".keras", "ONNX", "SavedModel"),
        ("Artefact", ".pt2", "ONNX"),
    ]
    (keras, onnx, saved), _ = (table.rows for table in tables)
    assert keras[2] == onnx[1] == "3.0e-02 / 1.2e-03 (1,234 differ)"
    assert (keras[0], keras[1], onnx[2], saved[3]) == (".keras", "", "", "")
    assert saved[1] == keras[3] != ""
    assert tables[1].caption.startswith("PyTorch matched s3, 60 test images: largest / mean difference")


def test_a_pair_that_was_not_compared_is_a_dash(summary: Summary) -> None:
    found = summary.model_copy(update={"parities": summary.parities[:2]})
    ((_, table),) = matrices(found)
    assert table.rows[1][3] == "–"


def test_page_and_markdown_have_a_matrix_for_each_training(summary: Summary) -> None:
    page, markdown = render(summary, (), {}, {}), to_markdown(summary)
    for number, (_, table) in enumerate(matrices(summary)):
        assert f'<div class="scroll" role="region" aria-labelledby="parities-{number}-caption"' in page
        assert table.caption in page
        assert table.caption in markdown
        assert f"| {' | '.join(table.headers)} |" in markdown
    assert 'data-chooser="parities"' in page


def test_a_summary_of_an_earlier_version_has_no_matrix(summary: Summary) -> None:
    old = parse_summary(summary.model_dump_json(exclude={"parities"}), "summary.json")
    assert old.parities == ()
    assert "parities-0" not in render(old, (), {}, {})
    assert "| Artefact |" not in to_markdown(old)


def test_exports_show_the_mean_difference_beside_the_largest(summary: Summary) -> None:
    table = exports(summary)
    cells = [dict(zip(table.headers, row, strict=True)) for row in table.rows]
    assert {cell["From memory"] for cell in cells} == {"2.4e-07 / 1.0e-08"}
    served = {row.model: row.parity for row in summary.rows if row.parity}
    shown = [cell["Served, from native"] for cell in cells if cell["Served, from native"] != "–"]
    assert len(shown) == len(served) == 3
    assert all(f" / {found.mean_difference:.1e}" in "".join(shown) for found in served.values())
