import sys

import pytest

import core
from core.errors import MissingExtraError
from services.client.images import decode_files


def test_files_without_pillow_say_which_extra_decodes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "core.preprocess", raising=False)
    monkeypatch.delattr(core, "preprocess", raising=False)
    with pytest.raises(MissingExtraError, match=r"decoding image files \(PIL\) .*pip install 'bakeoff\[images\]'"):
        decode_files([], None)  # type: ignore[arg-type]
