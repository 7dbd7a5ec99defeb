"""A model's config.pbtxt that is edited while the model is served."""

import asyncio

import pytest

from core import files
from core.errors import InvalidInputError
from services.serving import control
from tests.unit.serving.controlled import POLL_S, infer, run, state, until
from tests.unit.serving.serving import GATED, publish


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
