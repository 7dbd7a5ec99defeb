import pydantic
import pytest

from core.schemas.base import content_id
from core.schemas.specs import LoadTestSpec


def spec(**values: object) -> LoadTestSpec:
    given = {"model": "m", "version": 1, "artifact": "a" * 64, "runtime": "onnxruntime", "data": "b" * 64}
    return LoadTestSpec.model_validate(given | values)


def test_scenarios_carry_the_images_per_query_of_their_definition() -> None:
    sizes = {name: spec(scenario=name).batch_size for name in ("single_stream", "multi_stream", "closed", "offline")}
    assert sizes == {"single_stream": 1, "multi_stream": 8, "closed": 1, "offline": 1}


def test_what_a_scenario_has_no_use_for_does_not_make_it_another_test() -> None:
    plain, other = spec(scenario="server", rate=10), spec(scenario="server", rate=10, users=99)
    assert content_id("loadtest", plain) == content_id("loadtest", other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scenario": "server"}, "server needs a rate"),
        ({"rate": 5}, "closed has none; use the scenario server"),
        ({"scenario": "multi_stream", "batch_size": 4}, "MLPerf defines multi_stream with 8 per query"),
        ({"scenario": "server", "rate": 5, "generator": "locust"}, "locust knows the scenario closed only, not server"),
        ({"scenario": "stampede"}, "Input should be 'closed', 'single_stream'"),
        ({"scenario": "server", "rate": 0}, "greater than 0"),
    ],
)
def test_what_contradicts_a_definition_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        spec(**values)


def test_a_spec_of_the_first_version_is_a_closed_loop() -> None:
    assert spec(schema_version=1, users=3).scenario == "closed"
