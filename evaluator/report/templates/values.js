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
  const heads = figure.layout.meta ?? {};
  const [x, y] = ["x", "y"].map((axis) => heads[axis] ?? figure.layout[`${axis}axis`].title.text);
  /* Of a bar that lies, the name comes first and the figure last, as of one that stands. */
  const flat = figure.data.some((trace) => trace.orientation === "h");
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
      const [xs, ys, names] = [trace.meta?.x || trace.x || [], trace.meta?.y || trace.y, trace.meta?.names];
      const series = (i) => names?.[i] ?? trace.meta?.series ?? trace.name;
      xs.forEach((value, i) => {
        const point = flat ? [ys[i], value] : [value, ys[i]];
        rows.push([series(i), ...point].filter((own) => own !== undefined).map(plain));
      });
    }
  }
  const cells = figure.data.find((trace) => trace.z);
  /* The only series of a chart needs no name. */
  const axes = flat ? [y, x] : [x, y];
  if (!cells) return { head: rows[0]?.length === 2 ? axes : [heads.series ?? "Series", ...axes], rows };
  return { head: [y, x, heads.value ?? "Value", ...(cells.meta?.shares ? ["Share of its row"] : [])], rows };
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
