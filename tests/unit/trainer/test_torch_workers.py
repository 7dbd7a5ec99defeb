import re
import signal
from types import FrameType

import pytest

from core.errors import ExhaustedError, InvalidInputError, KilledError
from trainer.frameworks import _torch_workers
from trainer.frameworks._torch_workers import own_words

NEWS = "DataLoader worker (pid 12) is killed by signal: Killed."
INSIDE_A_CALLBACK = f"Exception occured in `Recorder` when calling event `after_batch`:\n\t{NEWS}"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_torch_workers, "NEWS_S", 0.01)


def test_an_error_about_an_image_has_the_words_of_the_process_that_decodes() -> None:
    told = "Caught InvalidInputError in DataLoader worker process 0.\nTraceback\ncore.errors.InvalidInputError: a.png\n"
    with pytest.raises(InvalidInputError, match=r"\Aa\.png\Z"), own_words():
        raise InvalidInputError(told)


def test_a_full_shared_memory_is_named() -> None:
    told = "unable to write to file </torch_12_34_5>: No space left on device (28)"
    with (
        pytest.raises(ExhaustedError, match=r"no room left in /dev/shm .*; write fewer"),
        own_words(),
    ):
        raise RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\nRuntimeError: {told}")


@pytest.mark.parametrize("words", [NEWS, INSIDE_A_CALLBACK])
def test_the_news_of_a_killed_process_are_known_wherever_they_arrive(words: str) -> None:
    with pytest.raises(KilledError, match=f"^{re.escape(NEWS)}$"), own_words():
        raise RuntimeError(words)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), EOFError()])
def test_a_process_that_is_gone_was_killed_however_it_is_noticed(error: Exception) -> None:
    with pytest.raises(KilledError), own_words():
        raise error


def test_what_torch_says_later_of_a_process_that_is_gone_breaks_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def news(_number: int, _frame: FrameType | None) -> None:
        told.append(NEWS)
        raise RuntimeError(NEWS)

    told: list[str] = []
    monkeypatch.setattr(_torch_workers, "NEWS_S", 60.0)
    before = signal.signal(signal.SIGALRM, news)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KilledError, match="a process that decodes is gone"), own_words():
            raise ConnectionResetError(104, "reset")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert told == [NEWS]


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not fit"), EOFError("Caught EOFError in DataLoader worker process 0.")]
)
def test_every_other_error_is_left_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), own_words():
        raise error
