"""Loading and unloading what somebody asks for."""

import asyncio

import pytest

from core.errors import InvalidInputError, NotFoundError
from tests.unit.serving.controlled import infer, run, state, until
from tests.unit.serving.serving import publish


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
