"""What all tests share."""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real samples of the five data sets; tests that need them are skipped where they are absent."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no sample data in {SAMPLES}")
    return SAMPLES.resolve()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the tests, a module stays in one, and all that need Docker's engine stay together.

    Those take longest, so they come first.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return

    def needs_engine(item: pytest.Item) -> bool:
        return hasattr(getattr(item, "module", None), "start_engine")

    items.sort(key=lambda item: not needs_engine(item))
    for item in items:
        item.add_marker(pytest.mark.xdist_group("engine" if needs_engine(item) else str(item.path)))
