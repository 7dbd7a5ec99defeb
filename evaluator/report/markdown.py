"""The report as Markdown, for pull requests and terminals."""

from collections.abc import Iterator

from core.schemas.summary import Summary
from evaluator.claims.own import judged
from evaluator.report import (
    attribution,
    claims,
    load_tables,
    modes,
    operating_tables,
    parity_tables,
    quality_tables,
    search,
    seed_tables,
    split_tables,
    tables,
    variant_tables,
)
from evaluator.report.columns import columns
from evaluator.report.html import commands, describe_load, machines
from evaluator.report.pipes import escape, grid, markdown_table
from evaluator.report.recipes import describe_recipe
from evaluator.report.tables import Table

TIMES = "Where the time goes"


def to_markdown(summary: Summary) -> str:
    """Verdict, tables and provenance; the charts are in the HTML page."""
    return "\n\n".join(_blocks(summary)) + "\n"


def _blocks(summary: Summary) -> Iterator[str]:
    yield f"# {escape(summary.title)}"
    if summary.description:
        yield escape(summary.description)
    if not summary.complete:
        yield "> **Incomplete.** These parts are missing:\n>\n" + "\n".join(f"> - {escape(m)}" for m in summary.missing)
    yield f"## Verdict\n\n**{escape(summary.verdict.headline)}.** {escape(summary.verdict.reason)}"
    if summary.verdict.picks:
        yield "\n".join(
            f"- **{pick.title}:** {escape(summary.rows[pick.row].label)}, {pick.value}. {escape(pick.detail)}"
            for pick in summary.verdict.picks
        )
    yield from _claims(summary)
    if summary.rows:
        yield "## Results\n\n" + grid(*_verdict_table(summary))
    if settings := describe_load(summary):
        yield f"{settings}. A dash means: not measured."
    if summary.verdict.method:
        yield escape(summary.verdict.method)
    yield from (f"> {escape(note)}" for note in summary.notes)
    for arm in summary.arms:
        yield f"**{arm.name}** ({arm.mode}): {describe_recipe(arm)}. {arm.finding}"
    sections = [("Variants", variant_tables.costs(summary))]
    sections += [("Trade-offs", quality_tables.trade_offs(summary)), ("Over seeds", tables.seeds(summary.groups))]
    sections += [("Frameworks over seeds", seed_tables.framework_tests(summary))]
    sections += [(TIMES, seed_tables.time_shares(summary))]
    sections += [("Training", tables.trainings(summary)), ("Load tests", load_tables.loads(summary))]
    sections += [("Saturation", load_tables.saturation(summary))]
    sections += [("Probabilities", quality_tables.probabilities(summary))]
    sections += [("Temperature", operating_tables.temperatures(summary))]
    sections += [("Threshold", operating_tables.thresholds(summary))]
    sections += [("Robustness", operating_tables.robustness(summary))]
    sections += [("Agreement", quality_tables.agreement(summary)), ("Export parity", tables.exports(summary))]
    if pairs := summary.defaults:
        yield f"## Framework or defaults?\n\n{escape(modes.sentence(pairs))}\n\n" + markdown_table(modes.table(pairs))
        yield escape(f"{modes.table(pairs).caption}. {modes.RULE}")
    if trials := summary.search:
        yield f"## Search\n\n{escape(search.sentence(trials))}\n\n" + markdown_table(search.table(trials))
    if found := summary.attribution:
        yield f"## Attribution\n\n{escape(attribution.sentence(found))}\n\n" + markdown_table(attribution.table(found))
    if both := summary.other_split:
        yield f"## Splits\n\n{escape(split_tables.sentence(both))}\n\n" + markdown_table(split_tables.table(both))
    notes = {TIMES: f"\n\n{escape(f'{seed_tables.effort(summary)} {seed_tables.time_note(summary)}'.strip())}"}
    for title, table in sections:
        if table.rows:
            yield f"## {title}\n\n" + markdown_table(table) + notes.get(title, "") + _legend(table)
    yield from (f"{escape(table.caption)}\n\n{markdown_table(table)}" for _, table in parity_tables.matrices(summary))
    if data := summary.data:
        yield f"## Data\n\n{escape(data.source)}, fingerprint `{data.fingerprint}`\n\n" + markdown_table(
            tables.counts(data)
        )
    yield "## Environment"
    yield from (f"**{roles}:** {escape(machine)}" for roles, machine in machines(summary))
    yield from (
        markdown_table(table) for table in (tables.versions(summary.places), tables.artefacts(summary)) if table.rows
    )
    lines = "\n".join(f"# {comment}\n{command}" for comment, command in commands(summary))
    yield f"## Reproduce\n\n```sh\n{lines}\n```"


def _claims(summary: Summary) -> Iterator[str]:
    """Of the study that the experiment repeats; nothing where it repeats none."""
    if not (findings := judged(summary)):
        return
    yield f"## The study’s claims\n\n{escape(claims.INTRO)}\n\n" + markdown_table(claims.table(findings))
    yield escape(claims.RULE)
    if reasons := claims.reasons(findings):
        yield f"**{claims.REASONS}.**\n\n" + "\n".join(f"- {escape(line)}" for line in reasons)


def _verdict_table(summary: Summary) -> tuple[list[str], list[list[str]], int]:
    shown = columns(summary.rows)
    rows = []
    for row in summary.rows:
        cells = []
        for column in shown:
            note = column.note(row)
            cells.append(column.show(row) + (f" ({note})" if note else ""))
        rows.append(cells)
    return [column.title for column in shown], rows, sum(not column.numeric for column in shown)


def _legend(table: Table) -> str:
    """What the mark of figures without support means, where one is in the table."""
    marked = any(cell.endswith(tables.UNSUPPORTED) for row in table.rows for cell in row)
    return (
        f"\n\n{tables.UNSUPPORTED.strip()} More than the number of queries supports at 99% confidence."
        if marked
        else ""
    )
