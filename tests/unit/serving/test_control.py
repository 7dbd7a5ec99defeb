"""Which models of the repository a server takes up by itself, and when."""

import asyncio
import shutil

import numpy as np
import pytest

from core.errors import NotFoundError, NotReadyError, WrongStateError
from services.serving import control
from tests.unit.serving import published
from tests.unit.serving.controlled import POLL_S, infer, run, state, until
from tests.unit.serving.serving import GATED, publish


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
