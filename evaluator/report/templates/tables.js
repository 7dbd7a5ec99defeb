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
