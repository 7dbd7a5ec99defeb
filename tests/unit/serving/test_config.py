from pathlib import Path

import pytest
from inference import model_config_pb2 as pb
from inference.grpc_service_pb2 import ModelConfigResponse

from core.errors import InvalidInputError
from core.schemas.data import ImageSpec
from services.client.tensors import image_contract
from services.serving.config import read_config
from services.serving.settings import ServingSettings
from tests.unit.serving import published


@pytest.fixture
def settings(tmp_path) -> ServingSettings:
    return ServingSettings(
        runtime="onnxruntime", repository=tmp_path, max_batch=8, max_delay_us=100, max_queue=200, instances=2
    )


@pytest.fixture
def artifact(tmp_path):
    return published.publish(tmp_path, "m", published.linear(published.weights()))


def edited(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "m/config.pbtxt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_settings_decide_where_the_file_is_silent(tmp_path, settings, artifact):
    config = read_config(artifact, tmp_path / "m/config.pbtxt", settings)
    policy = config.policy
    assert (policy.max_batch, policy.max_delay_ns, policy.max_queue, policy.instances) == (8, 100_000, 200, 2)
    assert config.max_request == 64


def test_the_file_overrides_the_settings_for_its_model(tmp_path, settings, artifact):
    wishes = (
        "dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 7 "
        "default_queue_policy { max_queue_size: 90 } } instance_group [ { count: 3 kind: KIND_CPU } ]"
    )
    policy = read_config(artifact, edited(tmp_path, "dynamic_batching { }", wishes), settings).policy
    assert (policy.max_batch, policy.max_delay_ns, policy.max_queue, policy.instances) == (4, 7_000, 90, 3)


def test_a_batch_is_never_larger_than_the_largest_request_and_the_queue_never_smaller(tmp_path, settings, artifact):
    config = read_config(artifact, edited(tmp_path, "max_batch_size: 64", "max_batch_size: 3"), settings)
    assert (config.max_request, config.policy.max_batch) == (3, 3)


def test_the_effective_batching_is_what_the_configuration_says(tmp_path, settings, artifact):
    message = read_config(artifact, tmp_path / "m/config.pbtxt", settings).message
    assert list(message.dynamic_batching.preferred_batch_size) == [8]
    assert message.instance_group[0].count == 2
    assert message.output[0].label_filename == "labels.txt"


def test_the_configuration_says_which_files_answer(tmp_path, settings, artifact):
    message = read_config(artifact, tmp_path / "none", settings).message
    assert message.parameters["bakeoff.artifact"].string_value == artifact.digest


def test_a_missing_file_means_the_published_configuration(tmp_path, settings, artifact):
    assert read_config(artifact, tmp_path / "none", settings).message.name == "m"


def test_a_file_that_contradicts_the_artifact_is_refused_with_both_values(tmp_path, settings, artifact):
    with pytest.raises(InvalidInputError, match=r"input is .*dims: 7 .*expected .*dims: 6 "):
        read_config(artifact, edited(tmp_path, "dims: [ 6, 5, 1 ]", "dims: [ 7, 5, 1 ]"), settings)


def test_a_file_that_is_no_configuration_is_refused(tmp_path, settings, artifact):
    with pytest.raises(InvalidInputError, match="is not a model configuration"):
        read_config(artifact, edited(tmp_path, "name:", "nmae:"), settings)


def test_a_model_that_takes_no_batches_is_refused(tmp_path, settings, artifact):
    with pytest.raises(InvalidInputError, match="max_batch_size is 0"):
        read_config(artifact, edited(tmp_path, "max_batch_size: 64", "max_batch_size: 0"), settings)


def test_each_version_has_its_own_preprocessing_and_classes_though_the_file_is_the_newest_ones(tmp_path, settings):
    predict = published.linear(published.weights())
    one = published.publish(tmp_path, "m", predict, classes=("a", "b", "c"))
    spec = ImageSpec(height=published.SHAPE[0], width=published.SHAPE[1], color="grey", filter="nearest")
    two = published.publish(tmp_path, "m", predict, classes=("c", "b", "a"), preprocess=spec)
    path = tmp_path / "m/config.pbtxt"
    contracts = [
        image_contract(ModelConfigResponse(config=read_config(artifact, path, settings).message))
        for artifact in (one, two)
    ]
    assert [contract.classes for contract in contracts] == [("a", "b", "c"), ("c", "b", "a")]
    assert [contract.spec for contract in contracts] == [one.preprocess, spec]


def queue_policy(tmp_path, text: str) -> Path:
    return edited(tmp_path, "dynamic_batching { }", f"dynamic_batching {{ default_queue_policy {{ {text} }} }}")


def test_the_longest_wait_is_the_models_own_and_told(tmp_path, settings, artifact):
    path = queue_policy(tmp_path, "default_timeout_microseconds: 2500 allow_timeout_override: true")
    config = read_config(artifact, path, settings)
    assert (config.policy.timeout_us, config.policy.may_shorten) == (2500, True)
    told = config.message.dynamic_batching.default_queue_policy
    assert (told.default_timeout_microseconds, told.allow_timeout_override, told.max_queue_size) == (2500, True, 200)


def test_without_a_queue_policy_a_request_may_wait_as_long_as_it_likes(tmp_path, settings, artifact):
    policy = read_config(artifact, tmp_path / "m/config.pbtxt", settings).policy
    assert (policy.timeout_us, policy.may_shorten) == (0, False)


def test_requests_that_waited_too_long_are_refused_and_nothing_else_can_be_asked_for(tmp_path, settings, artifact):
    path = queue_policy(tmp_path, "timeout_action: DELAY default_timeout_microseconds: 2500")
    with pytest.raises(InvalidInputError, match="timeout_action is DELAY, expected REJECT"):
        read_config(artifact, path, settings)


@pytest.mark.parametrize(("device", "kind", "gpus"), [("cpu", "KIND_CPU", []), ("cuda", "KIND_GPU", [0])])
def test_the_configuration_says_what_the_instances_compute_on(tmp_path, settings, artifact, device, kind, gpus):
    path = edited(tmp_path, "dynamic_batching", "instance_group { count: 3 } dynamic_batching")
    before = read_config(artifact, path, settings)
    (group,) = before.on(device).message.instance_group
    assert (group.count, pb.ModelInstanceGroup.Kind.Name(group.kind), list(group.gpus)) == (3, kind, gpus)
    assert before.message.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
