/* The index over all runs. Text goes into the page as text only. */
function made(kind, text, className) {
  const element = document.createElement(kind);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function link(text, href) {
  const element = made("a", text);
  element.href = href;
  return element;
}

function card(run) {
  const item = made("li", undefined, "card");
  const folder = `/reports/${encodeURIComponent(run.name)}`;
  const title = made("h2");
  title.append(run.error ? document.createTextNode(run.name) : link(run.title, `${folder}/report.html`));
  const when = made("p", `${run.name}, ${new Date(1000 * run.changed).toLocaleString()}`, "muted");
  item.append(title, when);
  if (run.error) {
    item.append(made("p", run.error, "warn"));
    return item;
  }
  if (run.missing) item.append(made("p", `Incomplete: ${run.missing} part${run.missing > 1 ? "s" : ""} missing`, "warn"));
  item.append(made("p", run.headline, "headline"));
  const facts = made("dl");
  for (const [name, value] of [...run.picks, ["Trainings", run.trainings], ["Artefacts", run.artefacts]]) {
    const pair = made("div");
    pair.append(made("dt", name), made("dd", value));
    facts.append(pair);
  }
  const forms = made("p", undefined, "forms");
  for (const [text, file] of [["Report", "report.html"], ["Markdown", "report.md"], ["CSV", "report.csv"], ["JSON", "summary.json"]]) {
    forms.append(link(text, `${folder}/${file}`));
  }
  item.append(facts, forms);
  return item;
}

async function list(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error((await response.json()).error);
  return response.json();
}

async function start() {
  const state = document.getElementById("state");
  try {
    const runs = await list("/api/runs");
    document.getElementById("runs").append(...runs.map(card));
    state.textContent = runs.length ? `${runs.length} report${runs.length > 1 ? "s" : ""}` : "No report yet: bakeoff run experiments/digits.yaml makes the first.";
    for (const tool of await list("/api/links")) {
      const item = made("li");
      item.append(tool.up ? link(tool.title, tool.url) : made("span", `${tool.title}: not running`, "muted"));
      document.getElementById("links").append(item);
    }
  } catch (error) {
    state.textContent = error.message;
    state.className = "warn";
  }
}

start();
