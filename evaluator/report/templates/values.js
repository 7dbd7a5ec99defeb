/* Every chart as a table, made when it is first opened: for screen readers, for copying, for exact figures. */
function cell(kind, value) {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "col";
  made.textContent = typeof value === "number" ? String(Number(value.toPrecision(6))) : value ?? "";
  if (typeof value === "number") made.className = "num";
  return made;
}

/* What stands in a label beside its line breaks and small print. */
function plain(label) {
  if (typeof label !== "string") return label;
  const parsed = new DOMParser().parseFromString(label.replaceAll("<br>", " "), "text/html");
  return parsed.body.textContent;
}

function values(figure) {
  const [x, y] = [figure.layout.xaxis?.title?.text || "x", figure.layout.yaxis?.title?.text || "y"];
  const rows = [];
  for (const trace of figure.data) {
    if (trace.hoverinfo === "skip") continue;
    if (trace.z) {
      trace.z.forEach((line, i) => line.forEach((z, j) => {
        if (z === null) return;
        const share = trace.meta?.shares?.[i][j];
        rows.push([plain(trace.y[i]), plain(trace.x[j]), z, ...(share === undefined ? [] : [share])]);
      }));
    } else {
      /* A figure whose axis is not in the unit people read, or whose points have names of their own, says so. */
      const [xs, names] = [trace.meta?.x || trace.x || [], trace.meta?.names];
      xs.forEach((value, i) => rows.push([plain(names?.[i] ?? trace.name ?? ""), plain(value), plain(trace.y[i])]));
    }
  }
  const cells = figure.data.find((trace) => trace.z);
  if (!cells) return { head: ["Series", x, y], rows };
  return { head: [y, x, "Value", ...(cells.meta?.shares ? ["Share of its row"] : [])], rows };
}

document.querySelectorAll(".values").forEach((details) => {
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const { head, rows } = values(figures[details.dataset.of]);
    const [frame, table] = [document.createElement("div"), document.createElement("table")];
    frame.className = "scroll";
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", details.querySelector("summary").textContent);
    table.createTHead().insertRow().append(...head.map((title) => cell("th", title)));
    const body = table.createTBody();
    rows.forEach((row) => body.insertRow().append(...row.map((value) => cell("td", value))));
    frame.append(table);
    details.append(frame);
  });
});
