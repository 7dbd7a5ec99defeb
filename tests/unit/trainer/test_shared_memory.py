"""Whether processes that decode have room for their batches."""

from pathlib import Path

import pytest

from core.errors import WrongStateError
from core.schemas.recipe import Recipe, complete
from trainer.shared_memory import check_room

SHAPE = (224, 224, 3)


def recipe(workers: int | None, batch: int) -> Recipe:
    return Recipe.model_validate(complete("idiomatic", {"epochs": 1, "batch_size": batch, "workers": workers}))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="processes pass their batches through /dev/shm")
def test_batches_that_have_no_room_are_refused_with_what_they_need() -> None:
    check_room(recipe(1, 1), SHAPE)
    with pytest.raises(WrongStateError, match=r"workers 2 pass \d+ MiB of batches through /dev/shm, which has room"):
        check_room(recipe(2, 65_536), SHAPE)


@pytest.mark.parametrize("workers", [0, None])
def test_without_a_number_of_processes_nothing_is_refused(workers: int | None) -> None:
    check_room(recipe(workers, 65_536), SHAPE)
