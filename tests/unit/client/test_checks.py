import pytest

from core.errors import NotFoundError, WrongStateError
from core.schemas.data import ImageSpec
from services.client.checks import check_artifact
from services.client.tensors import ImageContract


class Server:
    """A client whose server tells one digest, or nothing."""

    target = "127.0.0.1:1"

    def __init__(self, digest: str | None) -> None:
        self._digest = digest

    def preprocess_spec(self, model: str, version: int) -> ImageContract:
        if self._digest is None:
            raise NotFoundError("no such parameter")
        return ImageContract(ImageSpec(height=1, width=1), (), self._digest)


@pytest.mark.parametrize("digest", ["a" * 64, "", None])
def test_the_expected_files_and_servers_that_do_not_tell_are_measured(digest: str | None) -> None:
    check_artifact(Server(digest), "m", 1, "a" * 64)  # type: ignore[arg-type]


def test_other_files_under_the_same_name_are_refused() -> None:
    with pytest.raises(WrongStateError, match=r"serves m version 1 from other files \(bbbbbbbbbbbb…\)"):
        check_artifact(Server("b" * 64), "m", 1, "a" * 64)  # type: ignore[arg-type]
