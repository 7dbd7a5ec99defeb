"""Results and summaries of other versions: read where they can be, refused with what to do where not."""

import json

import pytest

from core.errors import InvalidInputError
from core.schemas.results import EvaluateResult, LoadTestResult, parse_result
from core.schemas.summary import parse_summary
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

ONE = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
SCORED = next(result for result in ONE.results if isinstance(result, EvaluateResult))
LOADED = next(result for result in ONE.results if isinstance(result, LoadTestResult))
SUMMARY = summarise(ONE.spec, ONE.results, ONE.probabilities, ONE.labels)


def older(result: EvaluateResult | LoadTestResult, lacks: str) -> str:
    """The result as version 1 wrote it."""
    document = json.loads(result.model_dump_json())
    del document[lacks]
    return json.dumps({**document, "schema_version": 1})


def test_results_survive_their_json() -> None:
    assert [parse_result(result.model_dump_json(), "r") for result in ONE.results] == ONE.results


def test_an_evaluation_of_version_1_is_read_and_its_scores_come_from_the_kept_predictions() -> None:
    old = parse_result(older(SCORED, "scores"), "r")
    assert isinstance(old, EvaluateResult)
    assert (old.schema_version, old.scores) == (1, None)
    results = [old if result is SCORED else result for result in ONE.results]
    again = summarise(ONE.spec, results, ONE.probabilities, ONE.labels)
    assert again.rows == SUMMARY.rows


def test_a_load_test_of_version_1_is_read_without_the_generators_cpu() -> None:
    old = parse_result(older(LOADED, "generator_cpu"), "r")
    assert isinstance(old, LoadTestResult)
    assert old.generator_cpu is None


def test_a_result_of_a_later_version_says_which_versions_are_read_and_what_to_do() -> None:
    text = json.dumps({**json.loads(SCORED.model_dump_json()), "schema_version": 7, "news": 1})
    with pytest.raises(
        InvalidInputError,
        match=r"results/x has schema_version 7; .* reads 1, 2 and 3: read it with the version that wrote it",
    ):
        parse_result(text, "results/x")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"kind": "evaluate"}', '{"kind": "dream"}'])
def test_text_that_is_no_result_is_named(text: str) -> None:
    with pytest.raises(InvalidInputError, match="results/x is not a valid result"):
        parse_result(text, "results/x")


def test_a_summary_of_version_1_is_read_with_what_it_has() -> None:
    document = json.loads(SUMMARY.model_dump_json()) | {"schema_version": 1}
    for key in ("agreement", "disagreements"):
        del document[key]
    for row in document["rows"]:
        del row["scores"], row["against_best"]
    assert parse_summary(json.dumps(document), "s").rows[0].accuracy == SUMMARY.rows[0].accuracy


def test_a_summary_of_a_later_version_says_so() -> None:
    text = json.dumps(json.loads(SUMMARY.model_dump_json()) | {"schema_version": 3})
    with pytest.raises(InvalidInputError, match=r"s has schema_version 3; .* reads 1 and 2"):
        parse_summary(text, "s")


def test_a_stored_load_test_with_a_busy_generator_does_not_count_when_it_is_read() -> None:
    document = json.loads(LOADED.model_dump_json()) | {"generator_cpu": 0.95}
    old = parse_result(json.dumps(document), "r")
    assert isinstance(old, LoadTestResult)
    assert not old.valid
    assert parse_result(old.model_dump_json(), "r") == old
