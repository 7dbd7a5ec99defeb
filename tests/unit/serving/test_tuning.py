import asyncio
import itertools
import json
from types import SimpleNamespace

import pytest

from core.errors import NotFoundError
from core.repository import ModelRepository
from services.serving import trial, tune, tuning
from services.serving.loading import LoadedModel, Loader
from services.serving.settings import ServingSettings
from services.serving.trial import Measured, capacity
from services.serving.tuned import Choice, Tuned, TuningCache
from tests.unit.serving import published
from tests.unit.serving.serving import publish

DEFAULT = Choice(instances=2, threads=1, max_batch=8)


def loaded(tmp_path) -> LoadedModel:
    publish(tmp_path, "m")
    settings = ServingSettings(runtime="onnxruntime", repository=tmp_path, trust_repository=True, threads=2)
    predict = published.linear(published.weights())
    return Loader(ModelRepository(tmp_path), settings, lambda *_: (predict, "cpu")).load("m", 1)


def tuned(monkeypatch, tmp_path, capacities, compute_ms=1.0) -> tuple[Tuned, list[Choice]]:
    """Tunes with made-up capacities and compute times (of all choices, or of each); returns the outcome and every
    choice that was measured."""
    measured: list[Choice] = []

    async def measure(loaded, predict, choice, seconds, cores):
        measured.append(choice)
        took = compute_ms(choice) if callable(compute_ms) else compute_ms
        return Measured(images_per_s=1.0, capacity=capacities(choice), p99_ms=1.0, compute_ms=took)

    monkeypatch.setattr(tuning, "measure", measure)
    told: list[tuple[int, int]] = []
    outcome = asyncio.run(
        tuning.tune(
            loaded(tmp_path), DEFAULT, lambda threads: threads, 2, 1.0, "here", lambda *step: told.append(step[:2])
        )
    )
    assert [done for done, _ in told] == list(range(1, len(measured) + 1))
    return outcome, measured


def test_every_division_of_the_threads_is_tried_and_none_exceeds_them():
    tried = tuning.choices(4, 64)
    assert {(one.instances, one.threads) for one in tried} == {(1, 1), (1, 4), (2, 2), (4, 1)}
    assert {one.max_batch for one in tried} == set(tuning.BATCHES)
    assert {(one.instances, one.threads) for one in tuning.choices(1, 64)} == {(1, 1)}
    assert {one.max_batch for one in tuning.choices(1, 4)} == {1, 2, 4}


@pytest.mark.parametrize(("gain", "delay"), [(1.1, 0), (1.3, 200)])
def test_a_delay_has_to_bring_more_than_a_little(monkeypatch, tmp_path, gain, delay):
    outcome, _ = tuned(monkeypatch, tmp_path, lambda choice: 100.0 * (gain if choice.max_delay_us == 200 else 1.0))
    assert outcome.choice.max_delay_us == delay


def test_the_choice_with_the_highest_capacity_wins(monkeypatch, tmp_path):
    best = Choice(instances=1, threads=2, max_batch=16)
    outcome, measured = tuned(monkeypatch, tmp_path, lambda choice: 200.0 if choice == best else 100.0)
    assert outcome.choice == best
    assert (outcome.capacity, outcome.default_capacity) == (200, 100)
    assert outcome.trials == len(measured)


@pytest.mark.parametrize(("compute_ms", "size"), [(0.1, 16), (0.49, 16), (0.5, 4), (2.0, 4), (15.0, 2), (100.0, 1)])
def test_of_nearly_equal_choices_the_largest_batch_that_is_not_long_wins(monkeypatch, tmp_path, compute_ms, size):
    """Larger ones cost memory, and callers wait for all of a batch; smaller ones cost a transport more."""

    def capacities(choice: Choice) -> float:
        return 100.0 * choice.instances + choice.max_batch / 4

    outcome, _ = tuned(monkeypatch, tmp_path, capacities, compute_ms)
    assert outcome.choice == Choice(instances=2, threads=1, max_batch=size)


@pytest.mark.parametrize(("compute_ms", "plenty", "larger"), [(0.1, 16, 32), (1.0, 4, 8)])
@pytest.mark.parametrize(("more", "is_larger"), [(1.05, False), (1.3, True)])
def test_batches_beyond_plenty_have_to_show_it(monkeypatch, tmp_path, compute_ms, plenty, larger, more, is_larger):
    """They lengthen the tail and win nothing behind a transport; where computing itself wins, they are worth it."""

    def capacities(choice: Choice) -> float:
        return 100.0 * (more if choice.max_batch == larger else 1.0)

    outcome, _ = tuned(monkeypatch, tmp_path, capacities, compute_ms)
    size = larger if is_larger else plenty
    assert outcome.choice.max_batch == size


def test_whether_images_are_heavy_is_decided_once_by_what_most_choices_cost(monkeypatch, tmp_path):
    """Those that are left at last, the largest batches, are light."""
    outcome, _ = tuned(
        monkeypatch,
        tmp_path,
        lambda choice: 100.0 * choice.instances + choice.max_batch / 4,
        lambda choice: 0.4 if choice.max_batch >= 8 else 0.6,
    )
    assert outcome.choice.max_batch == 4


def test_threads_of_one_instance_make_a_batch_shorter(monkeypatch, tmp_path):
    def capacities(choice: Choice) -> float:
        return 200.0 if choice.threads == 2 else 100.0

    outcome, _ = tuned(monkeypatch, tmp_path, capacities, compute_ms=15.0)
    assert outcome.choice == Choice(instances=1, threads=2, max_batch=4)


def test_threads_that_win_nothing_are_left_out(monkeypatch, tmp_path):
    outcome, _ = tuned(monkeypatch, tmp_path, lambda choice: 100.0)
    assert (outcome.choice.instances, outcome.choice.threads, outcome.choice.max_delay_us) == (1, 1, 0)


def test_a_delay_is_chosen_only_where_it_pays(monkeypatch, tmp_path):
    outcome, _ = tuned(monkeypatch, tmp_path, lambda choice: 150.0 if choice.max_delay_us == 1000 else 100.0)
    assert outcome.choice.max_delay_us == 1000


def test_when_time_is_up_what_was_measured_decides(monkeypatch, tmp_path):
    clock = itertools.count()
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    outcome, measured = tuned(monkeypatch, tmp_path, lambda choice: 100.0 * choice.max_batch)
    assert measured[0] == DEFAULT
    assert 1 <= len(measured) <= 3
    assert outcome.choice in measured


def test_capacity_is_what_the_fullest_of_loop_threads_and_cores_allows():
    one, two = Choice(instances=1, threads=1, max_batch=1), Choice(instances=2, threads=1, max_batch=1)
    assert capacity(100, loop_s=0.1, compute_s=1.0, choice=one, cores=2) == pytest.approx(100)
    assert capacity(100, loop_s=0.1, compute_s=1.0, choice=two, cores=2) == pytest.approx(100 / 0.55)
    assert capacity(100, loop_s=2.0, compute_s=1.0, choice=two, cores=4) == pytest.approx(50)


def test_a_trial_measures_a_model_through_its_batcher(tmp_path):
    model, seen = loaded(tmp_path), []

    def predict(images):
        seen.append(len(images))
        return model.predict(images)

    choice = Choice(instances=1, threads=1, max_batch=4)
    measured = asyncio.run(trial.measure(model, predict, choice, 0.05, cores=2))
    assert measured.images_per_s > 0
    assert measured.capacity > 0
    assert measured.compute_ms > 0
    assert max(seen) == 4


def outcome_of(model: LoadedModel, machine: str, choice: Choice) -> Tuned:
    return Tuned(
        model="m", artifact=model.artifact.digest, machine=machine, choice=choice, capacity=2, images_per_s=1, p99_ms=1,
        default=DEFAULT, default_capacity=1, trials=3, seconds=1, load_average=0,
    )  # fmt: skip


def test_a_server_with_the_cache_uses_the_choice_and_a_flag_goes_before_it(tmp_path):
    model, cache = loaded(tmp_path / "models"), TuningCache(tmp_path / "cache", "onnxruntime")
    cache.keep(outcome_of(model, cache.machine, Choice(instances=1, threads=2, max_batch=32, max_delay_us=100)))
    asked: list[int] = []

    def runtime(format_name, path, threads, data):
        asked.append(threads)
        return published.linear(published.weights()), "cpu"

    def policy(**flags):
        given = {"runtime": "onnxruntime", "repository": tmp_path / "models", "cache": tmp_path / "cache", **flags}
        found = (
            Loader(ModelRepository(tmp_path / "models"), ServingSettings(**given), runtime).load("m", 1).config.policy
        )
        return found.instances, found.max_batch, found.max_delay_ns

    settings = {"trust_repository": True}
    assert policy(**settings) == (1, 32, 100_000)
    assert policy(**settings, max_batch=5) == (1, 5, 100_000)
    assert policy(**settings, instances=3, threads=3) == (3, 32, 100_000)
    assert asked == [2, 2, 1]


def test_a_choice_for_other_files_or_another_machine_is_not_used(tmp_path):
    model, cache = loaded(tmp_path / "models"), TuningCache(tmp_path / "cache", "onnxruntime")
    path = cache.keep(outcome_of(model, cache.machine, DEFAULT))
    assert cache.find(model.artifact.digest).choice == DEFAULT
    assert cache.find("0" * 64) is None
    path.rename(path.with_name(path.name.replace(cache.machine, "elsewhere")))
    assert cache.find(model.artifact.digest) is None


def test_a_cache_file_that_is_damaged_counts_as_nothing_and_is_named(tmp_path, caplog):
    cache = TuningCache(tmp_path, "onnxruntime")
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / f"abc-{cache.machine}.json").write_text(json.dumps({"choice": 1}))
    assert cache.find("abc") is None
    assert "run bakeoff tune again" in caplog.text


def test_without_a_cache_nothing_is_found():
    assert TuningCache(None, "onnxruntime").find("abc") is None


def test_in_the_container_of_a_server_its_cache_address_and_own_tuning_do_not_count(monkeypatch, tmp_path):
    for name, value in {"CACHE": str(tmp_path), "TUNE_S": "5", "HOST": "0.0.0.0"}.items():
        monkeypatch.setenv(f"BAKEOFF_SERVING_{name}", value)
    seen: list[ServingSettings] = []

    def tune_model(name, repository, settings, cache, seconds):
        seen.append(settings)
        raise NotFoundError(name)

    monkeypatch.setattr(tune, "tune_model", tune_model)
    words = ["m", "--runtime", "onnxruntime", "--repository", str(tmp_path), "--cache", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["tune", *words])
    with pytest.raises(SystemExit):
        tune.main()
    assert [(one.cache, one.tune_s, one.host) for one in seen] == [(None, 0.0, "127.0.0.1")]
