/* Charts: figures come as JSON whose colours name CSS variables; they are drawn when first seen and again on a new theme. */
const figures = JSON.parse(document.getElementById("figures").textContent);
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);

/* A CSS colour as Plotly reads it: the browser resolves variables and light-dark(). */
function resolved(color) {
  probe.style.color = color;
  return getComputedStyle(probe).color;
}

function painted(value) {
  if (typeof value === "string") return value.startsWith("var(--") ? resolved(value) : value;
  if (Array.isArray(value)) return value.map(painted);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, painted(part)]));
  }
  return value;
}

function axis(own) {
  const line = resolved("var(--line)");
  return {
    gridcolor: line, linecolor: line, zeroline: false, automargin: true, fixedrange: true, ticks: "", tickangle: 0, ...own,
    title: { standoff: 12, ...own?.title, font: { size: 12, color: resolved("var(--muted)") } },
  };
}

/* On a phone: fewer ticks, smaller letters, more room behind bars for their figures; a whole of 100 % has none there. */
function fitted(own, narrow) {
  if (!narrow || !own?.range || own.range[0] !== 0 || own.tickvals) return own;
  return { ...own, range: [0, 1.3 * own.range[1]], nticks: 4 };
}

function themed(layout, width) {
  const text = resolved("var(--text)");
  const narrow = width < 460;
  return {
    ...layout,
    autosize: true,
    showlegend: false,
    dragmode: false,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 8, r: 12, t: 12, b: 8 },
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12.5, color: text },
    hoverlabel: { bgcolor: resolved("var(--surface)"), bordercolor: resolved("var(--line)"), font: { color: text } },
    xaxis: axis(fitted(layout.xaxis, narrow)),
    yaxis: axis(layout.yaxis),
  };
}

function draw(element) {
  const figure = painted(figures[element.id]);
  Plotly.react(element, figure.data, themed(figure.layout, element.clientWidth), { displayModeBar: false });
  element.dataset.drawn = element.clientWidth;
}

function visible(element) {
  return element.offsetParent !== null;
}

function drawAll(elements) {
  elements.filter((element) => figures[element.id] && visible(element)).forEach(draw);
}

const charts = [...document.querySelectorAll(".chart")];
const seen = new IntersectionObserver((entries) => {
  drawAll(entries.filter((entry) => entry.isIntersecting && !entry.target.dataset.drawn).map((entry) => entry.target));
}, { rootMargin: "600px" });
charts.forEach((element) => seen.observe(element));

/* Another width is another layout: a chart already drawn is drawn again for it. */
const sized = new ResizeObserver((entries) => requestAnimationFrame(() => {
  drawAll(entries.map((entry) => entry.target).filter((element) => {
    return element.dataset.drawn && Number(element.dataset.drawn) !== element.clientWidth;
  }));
}));
charts.forEach((element) => sized.observe(element));

document.addEventListener("themechange", () => {
  charts.forEach((element) => delete element.dataset.drawn);
  drawAll(charts);
});
/* Paper is white and narrow: charts are drawn for it and drawn again afterwards. */
let themeBefore;
addEventListener("beforeprint", () => {
  themeBefore = root.dataset.theme;
  root.dataset.theme = "light";
  root.classList.add("paper");
  drawAll(charts);
});
addEventListener("afterprint", () => {
  root.classList.remove("paper");
  if (themeBefore) root.dataset.theme = themeBefore;
  else delete root.dataset.theme;
  drawAll(charts);
});

/* Radio buttons that show one of several panels. */
document.querySelectorAll("[data-chooser]").forEach((chooser) => {
  chooser.addEventListener("change", (event) => {
    const panels = [...document.querySelectorAll(`[data-panel="${chooser.dataset.chooser}"]`)];
    panels.forEach((panel) => { panel.hidden = panel.id !== event.target.value && panel.id !== `${event.target.value}-panel`; });
    drawAll(panels.flatMap((panel) => [...panel.querySelectorAll(".chart")]));
  });
});
