"""Which versions are served: the policy, and several of them at once."""

import asyncio
import shutil

import numpy as np
import pytest
from google.protobuf import text_format
from inference import model_config_pb2 as pb

from core import files
from core.errors import InvalidInputError, NotFoundError
from services.serving.versions import VersionPolicy, parse_policy, policy_of
from tests.unit.serving import published
from tests.unit.serving.serving import publish
from tests.unit.serving.test_control import POLL_S, infer, run, state, until


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (VersionPolicy(latest=1), [5]),
        (VersionPolicy(latest=2), [3, 5]),
        (VersionPolicy(latest=9), [1, 3, 5]),
        (VersionPolicy(), [1, 3, 5]),
        (VersionPolicy(specific=(1, 5, 8)), [1, 5]),
    ],
)
def test_a_policy_chooses_among_what_is_published(policy, chosen):
    assert policy.choose([1, 3, 5]) == chosen


def test_specific_versions_none_of_which_is_published_are_an_error():
    with pytest.raises(InvalidInputError, match="asks for 7, 8, published are 1, 3"):
        VersionPolicy(specific=(7, 8)).choose([1, 3])


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy(latest=4)),
        ("version_policy { all { } }", VersionPolicy()),
        ("version_policy { latest { } }", VersionPolicy(latest=1)),
        ("version_policy { latest { num_versions: 3 } }", VersionPolicy(latest=3)),
        ("version_policy { specific { versions: [ 3, 1 ] } }", VersionPolicy(specific=(1, 3))),
    ],
)
def test_the_configuration_goes_before_the_servers_policy(text, policy):
    assert policy_of(text_format.Parse(text, pb.ModelConfig()), VersionPolicy(latest=4)) == policy


@pytest.mark.parametrize("policy", [VersionPolicy(), VersionPolicy(latest=2), VersionPolicy(specific=(1, 3))])
def test_what_is_written_into_a_configuration_is_read_back(policy):
    config = pb.ModelConfig()
    policy.write(config)
    assert policy_of(config, VersionPolicy(latest=9)) == policy


def test_a_specific_policy_without_versions_is_refused():
    config = text_format.Parse('name: "m" version_policy { specific { } }', pb.ModelConfig())
    with pytest.raises(InvalidInputError, match="names no version"):
        policy_of(config, VersionPolicy())


@pytest.mark.parametrize(
    ("flag", "policy"),
    [("all", VersionPolicy()), ("latest", VersionPolicy(latest=1)), ("latest:3", VersionPolicy(latest=3))],
)
def test_the_flag_is_read(flag, policy):
    assert parse_policy(flag) == policy


def set_policy(root, text):
    path = root / "m/config.pbtxt"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("version_policy")]
    files.write_text(path, "\n".join([*kept, f"version_policy {{ {text} }}" if text else "", ""]))


def test_each_of_several_versions_answers_with_its_own_weights_and_the_newest_by_default(tmp_path):
    for seed in range(3):
        publish(tmp_path, "m", seed=seed)

    async def scenario(server):
        await server.control.start()
        assert server.models.versions("m") == [1, 2, 3]
        for version in ("1", "2", "3", ""):
            result = await infer(server, 2, version=version)
            assert result.version == int(version or 3)
            expected = published.linear(published.weights(result.version - 1))(published.images(2))
            np.testing.assert_array_equal(result.outputs[0].array, expected)
        with pytest.raises(NotFoundError, match=r"version 4 .* not loaded; loaded: 1, 2, 3"):
            await infer(server, version="4")
        index = await server.control.index(True)
        assert [(entry.name, entry.version) for entry in index] == [("m", "1"), ("m", "2"), ("m", "3")]

    run(tmp_path, scenario, version_policy="all", poll_s=60)


def test_of_the_latest_two_the_older_one_goes_when_a_third_appears(tmp_path):
    for seed in range(2):
        publish(tmp_path, "m", seed=seed)

    async def scenario(server):
        await server.control.start()
        assert server.models.versions("m") == [1, 2]
        publish(tmp_path, "m", seed=2)
        await until(lambda: server.models.versions("m") == [2, 3])
        assert len(server.loads) == 3, "the version that stays is not loaded again"
        await until(lambda: state(server, version=1) == ("UNAVAILABLE", "replaced by version 3"))

    run(tmp_path, scenario, version_policy="latest:2", poll_s=POLL_S)


def test_the_newest_version_is_loaded_first_so_the_default_changes_once(tmp_path):
    for seed in range(3):
        publish(tmp_path, "m", seed=seed)

    async def scenario(server):
        await server.control.start()
        assert [path.parent.name for path in server.loads] == ["3", "2", "1"]

    run(tmp_path, scenario, version_policy="all", poll_s=60)


def test_a_version_that_cannot_be_served_takes_no_other_with_it(tmp_path):
    publish(tmp_path, "m")
    publish(tmp_path, "m", seed=1)

    async def scenario(server):
        await server.control.start()
        publish(tmp_path, "m", wrong=True)
        await until(lambda: state(server, version=3)[0] == "UNAVAILABLE")
        assert server.models.versions("m") == [1, 2]
        publish(tmp_path, "m", seed=3)
        await until(lambda: server.models.versions("m") == [1, 2, 4])
        assert (await infer(server)).version == 4

    run(tmp_path, scenario, version_policy="latest:2", poll_s=POLL_S)


def test_an_edited_policy_is_followed_and_undone_again(tmp_path):
    for seed in range(3):
        publish(tmp_path, "m", seed=seed)

    async def scenario(server):
        await server.control.start()
        assert server.models.versions("m") == [3]
        set_policy(tmp_path, "specific { versions: [ 1 ] }")
        await until(lambda: server.models.versions("m") == [1])
        assert (await infer(server)).version == 1
        set_policy(tmp_path, "all { }")
        await until(lambda: server.models.versions("m") == [1, 2, 3])
        set_policy(tmp_path, "")
        await until(lambda: server.models.versions("m") == [3])
        await until(lambda: state(server, version=2) == ("UNAVAILABLE", "no longer wanted"))

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_policy_that_chooses_nothing_or_is_broken_leaves_what_answers(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        set_policy(tmp_path, "specific { versions: [ 9 ] }")
        await asyncio.sleep(4 * POLL_S)
        set_policy(tmp_path, "nonsense { ")
        await asyncio.sleep(4 * POLL_S)
        assert (await infer(server)).version == 1

    run(tmp_path, scenario, poll_s=POLL_S)


def test_explicit_control_says_why_a_policy_chooses_nothing(tmp_path):
    publish(tmp_path, "m")
    set_policy(tmp_path, "specific { versions: [ 9 ] }")

    async def scenario(server):
        with pytest.raises(InvalidInputError, match="model 'm': version_policy asks for 9, published are 1"):
            await server.control.load("m")
        (entry,) = await server.control.index(False)
        assert (entry.state, "asks for 9" in entry.reason) == ("UNAVAILABLE", True)

    run(tmp_path, scenario, model_control="explicit")


def test_explicit_control_loads_all_versions_of_the_policy_and_unloads_them_together(tmp_path):
    for seed in range(2):
        publish(tmp_path, "m", seed=seed)

    async def scenario(server):
        await server.control.load("m")
        assert server.models.versions("m") == [1, 2]
        await server.control.unload("m")
        assert server.models.versions("m") == []

    run(tmp_path, scenario, model_control="explicit", version_policy="all")


def test_a_deleted_version_is_withdrawn_and_the_one_before_answers(tmp_path):
    for seed in range(2):
        publish(tmp_path, "m", seed=seed)

    async def scenario(server):
        await server.control.start()
        shutil.rmtree(tmp_path / "m/2")
        await until(lambda: server.models.versions("m") == [1])
        assert (await infer(server)).version == 1

    run(tmp_path, scenario, version_policy="latest:2", poll_s=POLL_S)


def test_the_configuration_tells_the_effective_policy(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        message = server.models.get("m").config.message
        assert message.version_policy.latest.num_versions == 3

    run(tmp_path, scenario, version_policy="latest:3", poll_s=60)
