"""What tests of the core share."""

from collections.abc import Iterator

import fsspec
import pytest


@pytest.fixture
def remote() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, empty before and after."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()
