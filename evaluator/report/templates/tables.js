/* Sorting: a press on a heading sorts by its column, a second press turns the order; what was not measured stays last. */
function compare(first, second, direction) {
  if (first === "" || second === "") return (first === "") - (second === "");
  const [a, b] = [Number(first), Number(second)];
  const order = Number.isNaN(a) || Number.isNaN(b) ? first.localeCompare(second) : a - b;
  return direction === "ascending" ? order : -order;
}

function sortBy(table, header) {
  const now = header.getAttribute("aria-sort");
  const first = header.querySelector("button").dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  const direction = now === first ? other : first;
  const column = [...header.parentElement.children].indexOf(header);
  header.parentElement.querySelectorAll("th").forEach((th) => th.setAttribute("aria-sort", th === header ? direction : "none"));
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.sort((a, b) => compare(a.cells[column].dataset.value, b.cells[column].dataset.value, direction));
  body.append(...rows);
}

document.querySelectorAll("table.sortable").forEach((table) => {
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sortBy(table, button.closest("th"));
  });
});

/* Filtering: a row stays while every word typed begins one of its own. */
function filterRows(input, table, count) {
  const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  rows.forEach((row) => {
    const words = row.dataset.words.toLowerCase().split(/[\s/]+/);
    row.hidden = !wanted.every((word) => words.some((own) => own.startsWith(word)));
  });
  const left = rows.filter((row) => !row.hidden).length;
  count.textContent = left === rows.length ? `${left} row${left === 1 ? "" : "s"}` : `${left} of ${rows.length} rows`;
}

const filter = document.getElementById("filter");
if (filter) {
  const [table, count] = [document.getElementById("verdict-table"), document.getElementById("filter-count")];
  filter.addEventListener("input", () => filterRows(filter, table, count));
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    filter.value = "";
    filterRows(filter, table, count);
  });
  /* A browser that comes back to the page keeps what was typed. */
  if (filter.value) filterRows(filter, table, count);
}

document.querySelectorAll(".copy").forEach((button) => {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
});
