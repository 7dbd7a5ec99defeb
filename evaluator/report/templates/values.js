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
      trace.z.forEach((line, i) => line.forEach((z, j) => { if (z !== null) rows.push([plain(trace.y[i]), plain(trace.x[j]), z]); }));
    } else {
      (trace.x || []).forEach((value, i) => rows.push([plain(trace.name || ""), plain(value), plain(trace.y[i])]));
    }
  }
  const head = figure.data.some((trace) => trace.z) ? [y, x, "Value"] : ["Series", x, y];
  return { head, rows };
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
