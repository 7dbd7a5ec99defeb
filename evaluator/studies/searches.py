"""What the searches of the studies found: S1's grid of nets, S5's further work."""

from collections.abc import Iterator

from core.schemas.experiment import Experiment
from core.schemas.summary import Summary
from evaluator.report import search
from evaluator.report.markdown import escape, markdown_table


def section(summary: Summary) -> Iterator[str]:
    """What was tried, on how many images, and every trial."""
    assert summary.search, "a result without a search has no section"
    experiment = Experiment.model_validate_json(summary.spec_json)
    scale = f", scale `{experiment.scale}`" if experiment.scale != "full" else ""
    images = f": {summary.data.images('train'):,} training images" if summary.data else ""
    table = search.table(summary.search)
    yield f'<a id="{summary.experiment}"></a>\n\n## {escape(summary.title)}'
    yield escape(summary.description)
    yield f"**What ran.** `{experiment.name}`{scale}{images}. {escape(search.sentence(summary.search))}"
    yield f"{escape(table.caption)}."
    yield markdown_table(table)
