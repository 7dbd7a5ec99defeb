"""What README and docs say is what there is: commands, targets, links, figures."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import typer.main

from services.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HALF_A_CENT = 0.0051
"""The page's accuracies are rounded to 0.01 points, and so is the README's mean of them."""
COMMAND: Any = typer.main.get_command(app)


def code_lines(page: Path) -> Iterator[str]:
    """Lines of the console blocks of a page, continued ones joined, comments off."""
    for block in re.findall(r"^ *```(?:console|bash|sh)\n(.*?)^ *```", page.read_text(), re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.strip().removeprefix("$ ")


def commands(program: str) -> list[tuple[str, str]]:
    """Page and command line for every use of a program."""
    found = [(page.name, line) for page in PAGES for line in code_lines(page)]
    return [(page, line) for page, line in found if re.match(rf"(\S*/)?{program}( |$)", line)]


@pytest.mark.parametrize(("page", "line"), commands("bakeoff"))
def test_every_bakeoff_command_of_the_docs_is_one_the_command_line_takes(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: Any = COMMAND
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{page}: {line}"
        command, words = command.commands[words[0]], words[1:]
    # Raises for an option, or a number of arguments, that the command does not take.
    command.make_context("bakeoff", words).close()


@pytest.mark.parametrize(("page", "line"), commands("make"))
def test_every_make_target_of_the_docs_is_in_the_makefile(page: str, line: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    assert set(words) <= set(targets), f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_of_the_repository_finds_it(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_of_the_repository_finds_its_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text())
    pages = [(page.parent / file if file else page, anchor) for file, anchor in links]
    assert [f"{one.name}#{anchor}" for one, anchor in pages if one.suffix == ".md" and anchor not in anchors(one)] == []


def anchors(page: Path) -> set[str]:
    """Of headings, as GitHub makes them, and those that are written."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


def test_the_readmes_accuracies_are_those_of_the_result_page() -> None:
    scores: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    speeds: dict[tuple[str, str], str] = {}
    for cells in table_rows(ROOT / "docs/results/mnist.md"):
        if len(cells) == 15 and "%" in cells[5]:
            framework, style, _, arm, seed = cells[:5]
            if style == "ONNX":
                scores[framework, arm][seed] = float(cells[5].split("%")[0])
            if cells[11] != "–":
                speeds[framework, style] = f"{cells[11].removesuffix('/s')} · {float(cells[13].split()[0]):.1f} ms"
    rows = [cells for cells in table_rows(ROOT / "README.md") if len(cells) == 5 and "±" in cells[1]]
    assert len(rows) == 4
    native = {"Keras": "SavedModel", "TensorFlow": "SavedModel", "PyTorch": ".pt2", "fastai": ".pt2"}
    for name, matched, idiomatic, onnx, loaded in rows:
        for arm, cell in (("matched", matched), ("idiomatic", idiomatic)):
            measured = list(scores[name, arm].values())
            said_mean, said_deviation = (float(part.strip(" %")) for part in cell.split("±"))
            assert len(measured) == 3
            assert said_mean == pytest.approx(mean(measured), abs=2 * HALF_A_CENT), (name, arm)
            assert said_deviation == pytest.approx(stdev(measured), abs=2 * HALF_A_CENT), (name, arm)
        assert onnx == speeds[name, "ONNX"]
        assert loaded == speeds[name, native[name]]


def table_rows(page: Path) -> Iterator[list[str]]:
    """Cells of every Markdown table row."""
    for line in page.read_text().splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]
