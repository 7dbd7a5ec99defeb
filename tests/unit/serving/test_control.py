import asyncio
import shutil
import time

import numpy as np
import pytest

from core import files
from core.errors import InvalidInputError, NotFoundError, NotReadyError, WrongStateError
from services.serving import control
from services.serving.requests import InferRequest, Tensor
from tests.unit.serving import published
from tests.unit.serving.serving import GATED, Server, publish

POLL_S = 0.02


def run(tmp_path, scenario, **settings):
    async def main():
        server = Server(tmp_path, **settings)
        try:
            return await scenario(server)
        finally:
            await server.close()

    return asyncio.run(asyncio.wait_for(main(), 20))


async def infer(server, count=1, model="m", version=""):
    inputs = (Tensor("image", "UINT8", published.images(count)),)
    return await server.handler.infer(InferRequest(model, version, "", inputs, (), time.monotonic_ns()))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def state(server, name="m", version=1):
    known = server.models.states().get(name, {}).get(version)
    return (known.name, known.reason) if known else ("", "")


def test_polling_loads_every_model_at_start_and_new_ones_as_they_appear(tmp_path):
    publish(tmp_path, "a")
    publish(tmp_path, "b")

    async def scenario(server):
        await server.control.start()
        assert [model.name for model in server.models.serving()] == ["a", "b"]
        publish(tmp_path, "c")
        await until(lambda: len(server.models.serving()) == 3)

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_new_version_takes_over_while_the_old_one_finishes_its_requests(tmp_path):
    publish(tmp_path, "m", seed=1)

    async def scenario(server):
        await server.control.start()
        server.gate.clear()
        old = asyncio.ensure_future(infer(server, GATED))
        await asyncio.sleep(0.01)
        publish(tmp_path, "m", seed=2)
        await until(lambda: server.models.versions("m") == [2])
        assert state(server, version=1) == ("UNLOADING", "replaced by version 2")
        new = await infer(server, 2)
        assert new.version == 2
        expected = published.linear(published.weights(2))(published.images(2))
        np.testing.assert_array_equal(new.outputs[0].array, expected)
        server.gate.set()
        assert (await old).version == 1
        await until(lambda: state(server, version=1) == ("UNAVAILABLE", "replaced by version 2"))
        why = r"version 1 of model 'm' is not loaded \(UNAVAILABLE: replaced.*\); loaded: 2"
        with pytest.raises(NotFoundError, match=why):
            await infer(server, version="1")

    run(tmp_path, scenario, poll_s=POLL_S)


def test_no_request_fails_while_versions_change_under_load(tmp_path):
    publish(tmp_path, "m", seed=0)

    seen = set()

    async def client(server, stop):
        while not stop.is_set():
            result = await infer(server, 2)
            expected = published.linear(published.weights(result.version - 1))(published.images(2))
            np.testing.assert_array_equal(result.outputs[0].array, expected)
            seen.add(result.version)
            await asyncio.sleep(0.001)

    async def scenario(server):
        await server.control.start()
        stop = asyncio.Event()
        clients = [asyncio.ensure_future(client(server, stop)) for _ in range(4)]
        for version in (2, 3):
            publish(tmp_path, "m", seed=version - 1)
            await until(lambda version=version: version in seen or any(client.done() for client in clients))
        stop.set()
        await asyncio.gather(*clients)
        assert seen == {1, 2, 3}

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_version_with_wrong_golden_cases_is_not_served_and_the_old_one_stays(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        publish(tmp_path, "m", wrong=True)
        await until(lambda: state(server, version=2)[0] == "UNAVAILABLE")
        assert "differs from its golden cases" in state(server, version=2)[1]
        assert (await infer(server)).version == 1
        loads = len(server.loads)
        await asyncio.sleep(5 * POLL_S)
        assert len(server.loads) == loads, "a failed version is tried once"

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_damaged_model_is_unavailable_with_its_reason_and_the_others_are_served(tmp_path):
    publish(tmp_path, "a")
    publish(tmp_path, "b")
    (tmp_path / "a/1/model.onnx").write_text("9")

    async def scenario(server):
        await server.control.start()
        with pytest.raises(NotReadyError, match=r"model 'a' is UNAVAILABLE: .*sha256"):
            await infer(server, model="a")
        assert (await infer(server, model="b")).version == 1

    run(tmp_path, scenario, poll_s=POLL_S)


def test_what_failed_for_a_passing_reason_is_tried_again(tmp_path, monkeypatch):
    """A disk was full, a store away: nothing in the repository changes when that is over."""
    monkeypatch.setattr(control, "RETRY_FIRST_S", POLL_S)
    publish(tmp_path, "m", seed=1)

    async def scenario(server):
        await server.control.start()
        whole = publish(tmp_path, "m", seed=2)
        assert whole.version == 2
        path = tmp_path / "m/2/model.onnx"
        good = path.read_text()
        path.write_text("9")
        await until(lambda: state(server, version=2)[0] == "UNAVAILABLE")
        with pytest.raises(NotFoundError, match=r"version 2 of model 'm' is not loaded \(UNAVAILABLE: .*sha256"):
            await infer(server, version="2")
        assert (await infer(server)).version == 1
        path.write_text(good)
        await until(lambda: server.models.versions("m") == [2])

    run(tmp_path, scenario, poll_s=POLL_S)


def test_the_same_failure_is_tried_ever_more_seldom_and_another_one_at_once():
    first, other = control.Wanted(problem="a"), control.Wanted(problem="b")
    failure, delays = None, []
    for _ in range(7):
        failure = control.Failure.after(first, failure)
        delays.append(failure.delay_s)
    assert delays == [2, 4, 8, 16, 32, 60, 60]
    assert control.Failure.after(other, failure).delay_s == 2


def test_a_model_in_another_models_folder_is_refused(tmp_path):
    publish(tmp_path, "m")
    shutil.copytree(tmp_path / "m", tmp_path / "copy")

    async def scenario(server):
        await server.control.start()
        with pytest.raises(NotReadyError, match="holds version 1 of model 'm'; publish it under its new name"):
            await infer(server, model="copy")
        assert [model.name for model in server.models.serving()] == ["m"]

    run(tmp_path, scenario, poll_s=POLL_S)


@pytest.mark.parametrize("name", ["../elsewhere/m", "{root}/elsewhere/m", "..", ".", "", "m/", "M", "m\0", "m" * 300])
def test_only_models_of_the_repository_can_be_loaded(tmp_path, name):
    publish(tmp_path / "models", "m")
    publish(tmp_path / "elsewhere", "m")

    async def scenario(server):
        with pytest.raises(NotFoundError, match="no model"):
            await server.control.load(name.format(root=tmp_path))
        assert server.loads == []

    run(tmp_path / "models", scenario, model_control="explicit")


def test_a_half_written_version_does_not_exist(tmp_path):
    publish(tmp_path, "m")
    (tmp_path / "m/2").mkdir()
    (tmp_path / "m/2/model.onnx").write_text("0")
    (tmp_path / ".staging-x/1").mkdir(parents=True)

    async def scenario(server):
        await server.control.start()
        assert [entry.version for entry in await server.control.index(False)] == ["1"]
        assert (await infer(server)).version == 1

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_broken_manifest_of_a_newer_version_does_not_take_the_model_away(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        (tmp_path / "m/2").mkdir()
        (tmp_path / "m/2/artifact.json").write_text("{")
        await asyncio.sleep(5 * POLL_S)
        assert (await infer(server)).version == 1

    run(tmp_path, scenario, poll_s=POLL_S)


def test_the_same_version_published_again_with_other_files_is_loaded_again(tmp_path):
    publish(tmp_path, "m", seed=1)

    async def scenario(server):
        await server.control.start()
        shutil.rmtree(tmp_path / "m")
        publish(tmp_path, "m", seed=2)
        await until(lambda: len(server.loads) == 2)
        await until(lambda: server.models.versions("m") == [1])
        expected = published.linear(published.weights(2))(published.images(2))
        await until(lambda: state(server)[0] == "READY")
        np.testing.assert_array_equal((await infer(server, 2)).outputs[0].array, expected)

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_model_removed_from_the_repository_is_unloaded(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        shutil.rmtree(tmp_path / "m")
        await until(lambda: not server.models.serving())

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_repository_that_is_away_for_a_moment_takes_no_model_with_it(tmp_path):
    root = tmp_path / "models"
    publish(root, "m")

    async def scenario(server):
        await server.control.start()
        root.rename(tmp_path / "away")
        await asyncio.sleep(5 * POLL_S)
        assert (await infer(server)).version == 1

    run(root, scenario, poll_s=POLL_S)


def test_a_missing_repository_ends_the_start_with_its_path(tmp_path):
    async def scenario(server):
        with pytest.raises(NotFoundError, match="nowhere is not a folder"):
            await server.control.start()

    run(tmp_path / "nowhere", scenario, model_control="none")


@pytest.mark.parametrize("model_control", ["poll", "explicit"])
def test_a_repository_that_is_not_there_yet_is_an_empty_one(tmp_path, model_control):
    root = tmp_path / "later"

    async def scenario(server):
        await server.control.start()
        assert await server.control.index(False) == []
        publish(root, "a")
        if model_control == "explicit":
            await server.control.load("a")
        await until(lambda: server.models.versions("a") == [1])

    run(root, scenario, model_control=model_control, poll_s=POLL_S)


@pytest.mark.parametrize("model_control", ["poll", "explicit"])
def test_a_repository_that_cannot_be_there_is_said(tmp_path, model_control):
    (tmp_path / "file").touch()

    async def scenario(server):
        with pytest.raises(NotFoundError, match="is not a folder; create it"):
            await server.control.index(False)

    for root in (tmp_path / "nowhere/models", tmp_path / "file"):
        run(root, scenario, model_control=model_control)


def test_explicit_control_loads_what_is_asked_for(tmp_path):
    publish(tmp_path, "a")
    publish(tmp_path, "b")

    async def scenario(server):
        await server.control.start()
        assert server.models.versions("a") == [1]
        index = await server.control.index(False)
        assert [(entry.name, entry.version, entry.state) for entry in index] == [("a", "1", "READY"), ("b", "", "")]
        await server.control.load("b")
        await server.control.unload("a")
        index = await server.control.index(False)
        assert [(entry.name, entry.state, entry.reason) for entry in index] == [
            ("a", "UNAVAILABLE", "unloaded"),
            ("b", "READY", ""),
        ]
        assert [entry.name for entry in await server.control.index(True)] == ["b"]
        await server.control.load("a")
        assert (await infer(server, model="a")).version == 1

    run(tmp_path, scenario, model_control="explicit", load_model=("a",))


def test_explicit_control_loads_a_newer_version_on_the_next_request_to_load(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.load("m")
        publish(tmp_path, "m", seed=1)
        assert (await infer(server)).version == 1
        await server.control.load("m")
        assert (await infer(server)).version == 2

    run(tmp_path, scenario, model_control="explicit")


def test_loading_twice_at_the_same_time_loads_once(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await asyncio.gather(*(server.control.load("m") for _ in range(4)))
        assert len(server.loads) == 1

    run(tmp_path, scenario, model_control="explicit")


def test_a_model_named_at_start_that_cannot_be_loaded_ends_the_start(tmp_path):
    publish(tmp_path, "m", wrong=True)

    async def scenario(server):
        with pytest.raises(InvalidInputError, match="differs from its golden cases"):
            await server.control.start()

    run(tmp_path, scenario, model_control="explicit", load_model=("m",))


def test_loading_goes_on_when_its_caller_leaves(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        server.may_load.clear()
        asked = asyncio.ensure_future(server.control.load("m"))
        await until(lambda: state(server)[0] == "LOADING")
        asked.cancel()
        await asyncio.wait({asked})
        server.may_load.set()
        await until(lambda: server.models.versions("m") == [1])

    run(tmp_path, scenario, model_control="explicit")


def test_overrides_of_configuration_and_files_are_refused(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        with pytest.raises(InvalidInputError, match=r"parameters config, file:1/model.onnx are refused"):
            await server.control.load("m", ("config", "file:1/model.onnx"))
        assert not server.models.serving()

    run(tmp_path, scenario, model_control="explicit")


def test_unknown_models_are_not_found(tmp_path):
    async def scenario(server):
        with pytest.raises(NotFoundError, match="no model 'm'"):
            await server.control.load("m")
        with pytest.raises(NotFoundError, match="'m' is not loaded; loaded: none"):
            await server.control.unload("m")

    run(tmp_path, scenario, model_control="explicit")


def test_control_none_loads_everything_once_and_refuses_changes(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        assert server.models.versions("m") == [1]
        for change in (server.control.load, server.control.unload):
            with pytest.raises(WrongStateError, match="--model-control none"):
                await change("m")

    run(tmp_path, scenario, model_control="none")


def test_polling_refuses_to_unload_what_it_would_load_again(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        with pytest.raises(WrongStateError, match="--model-control poll"):
            await server.control.unload("m")

    run(tmp_path, scenario, poll_s=60)


def test_models_of_another_runtime_are_listed_with_the_runtime_they_need(tmp_path):
    publish(tmp_path, "k", format_name="keras")

    async def scenario(server):
        await server.control.start()
        (entry,) = await server.control.index(False)
        assert (entry.version, entry.state) == ("", "UNAVAILABLE")
        assert "served by the tensorflow runtime" in entry.reason
        with pytest.raises(WrongStateError, match="tensorflow runtime"):
            await server.control.load("k")

    run(tmp_path, scenario, poll_s=60)


def test_an_unexpected_error_while_loading_is_a_state_not_a_crash(tmp_path, monkeypatch):
    publish(tmp_path, "m")

    async def scenario(server):
        def broken(*_):
            raise MemoryError("no room")

        monkeypatch.setattr(server.models._loader, "_runtime", broken)
        await server.control.start()
        assert state(server) == ("UNAVAILABLE", "no room")

    run(tmp_path, scenario, poll_s=60)


def edit(root, new, old="dynamic_batching { }"):
    """Changes the config.pbtxt of model `m`, as an editor does that writes by rename."""
    path = root / "m/config.pbtxt"
    text = path.read_text()
    assert old in text
    files.write_text(path, text.replace(old, new))


def queue_of(server):
    return server.models.get("m").config.message.dynamic_batching.default_queue_policy.max_queue_size


QUEUE = "dynamic_batching { default_queue_policy { max_queue_size: 77 } }"


def test_polling_loads_a_model_anew_whose_configuration_was_edited_and_fails_no_request(tmp_path):
    publish(tmp_path, "m", seed=1)
    publish(tmp_path, "other")

    async def scenario(server):
        await server.control.start()
        server.gate.clear()
        old, asked = server.models.get("m"), asyncio.ensure_future(infer(server, GATED))
        await asyncio.sleep(0.01)
        edit(tmp_path, QUEUE)
        await until(lambda: queue_of(server) == 77)
        assert server.models.get("m") is not old
        assert (await infer(server, 2)).version == 1
        server.gate.set()
        assert (await asked).version == 1
        await asyncio.sleep(5 * POLL_S)
        loaded = [path.parent.parent.name for path in server.loads]
        assert sorted(loaded) == ["m", "m", "other"], "once for the edit, and no other model"
        assert state(server) == ("READY", "")

    run(tmp_path, scenario, poll_s=POLL_S)


def test_a_configuration_that_comes_or_goes_is_an_edit_too(tmp_path):
    publish(tmp_path, "m")
    path = tmp_path / "m/config.pbtxt"
    text = path.read_text().replace("dynamic_batching { }", QUEUE)
    path.unlink()

    async def scenario(server):
        await server.control.start()
        default = queue_of(server)
        assert default != 77
        files.write_text(path, text)
        await until(lambda: queue_of(server) == 77)
        path.unlink()
        await until(lambda: queue_of(server) == default)

    run(tmp_path, scenario, poll_s=POLL_S)


def test_every_version_follows_an_edit(tmp_path):
    publish(tmp_path, "m", seed=1)
    publish(tmp_path, "m", seed=2)

    async def scenario(server):
        await server.control.start()
        edit(tmp_path, QUEUE)
        await until(
            lambda: all(
                one.config.message.dynamic_batching.default_queue_policy.max_queue_size == 77
                for one in server.models.serving()
            )
        )
        assert server.models.versions("m") == [1, 2]

    run(tmp_path, scenario, poll_s=POLL_S, version_policy="all")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dynamic_batching { }", "nonsense {"),
        ("max_batch_size: 64", "max_batch_size: 0"),
        ('name: "m"', 'name: "another"'),
    ],
)
def test_a_broken_edit_leaves_what_answers_and_says_why_until_it_is_put_right(tmp_path, monkeypatch, old, new):
    monkeypatch.setattr(control, "RETRY_FIRST_S", 60.0)
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.start()
        good = (tmp_path / "m/config.pbtxt").read_text()
        edit(tmp_path, new, old)
        await until(lambda: "not loaded anew" in state(server)[1])
        assert state(server)[0] == "READY"
        assert (await infer(server)).version == 1
        await asyncio.sleep(5 * POLL_S)
        assert len(server.loads) == 1
        files.write_text(tmp_path / "m/config.pbtxt", good.replace("dynamic_batching { }", QUEUE))
        await until(lambda: queue_of(server) == 77)
        assert state(server) == ("READY", "")

    run(tmp_path, scenario, poll_s=POLL_S)


def test_an_edit_counts_where_another_version_could_not_be_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "RETRY_FIRST_S", 60.0)
    publish(tmp_path, "m")
    publish(tmp_path, "m", wrong=True)

    async def scenario(server):
        await server.control.start()
        assert server.models.versions("m") == [1]
        edit(tmp_path, QUEUE)
        await until(lambda: queue_of(server) == 77)

    run(tmp_path, scenario, poll_s=POLL_S, version_policy="all")


def test_explicit_control_takes_up_an_edit_on_the_next_request_to_load(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.load("m")
        edit(tmp_path, QUEUE)
        await asyncio.sleep(5 * POLL_S)
        assert queue_of(server) != 77
        await server.control.load("m")
        assert queue_of(server) == 77
        await server.control.load("m")
        assert len(server.loads) == 2, "nothing changed the third time"

    run(tmp_path, scenario, model_control="explicit", poll_s=POLL_S)


def test_explicit_control_refuses_a_broken_edit_and_what_answers_goes_on(tmp_path):
    publish(tmp_path, "m")

    async def scenario(server):
        await server.control.load("m")
        edit(tmp_path, "max_batch_size: 0", "max_batch_size: 64")
        with pytest.raises(InvalidInputError, match="max_batch_size is 0"):
            await server.control.load("m")
        assert (await infer(server)).version == 1

    run(tmp_path, scenario, model_control="explicit")
