"""What a reader may open: GitHub folds it away."""

from collections.abc import Iterable, Iterator


def folded(title: str, parts: Iterable[str]) -> Iterator[str]:
    """Blocks of Markdown behind a line; nothing where there are none. No anchor may be in them: a link into what is
    folded opens nothing."""
    if blocks := list(parts):
        yield f"<details><summary>{title}</summary>"
        yield from blocks
        yield "</details>"
