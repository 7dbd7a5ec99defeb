/* The index over all experiments. Text goes into the page as text only. */
const FAST_MS = 2000, SLOW_MS = 10000;
const STATES = {
  running: "Running", failed: "Failed", interrupted: "Interrupted", unfinished: "Unfinished", elsewhere: "Unfinished",
  begun: "Unfinished", unreadable: "Unreadable", incomplete: "Incomplete", complete: "Complete",
};
const cards = new Map();

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

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const at = (seconds) => new Date(1000 * seconds).toLocaleString();

function span(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return "less than a minute";
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function stateOf(run) {
  if (run.state && run.state !== "done") return run.state;
  if (run.error || run.course_error) return "unreadable";
  return run.report && !run.missing ? "complete" : "incomplete";
}

/* Why there is no more than there is; empty where there is nothing to say. */
function explained(run, state) {
  if (state === "failed") return run.reason;
  if (state === "interrupted") return "It was stopped. What is finished is kept.";
  if (state === "unfinished") return `Its command is gone and did not say why: killed, or the machine went down. Last heard of ${at(run.updated)}. What is finished is kept.`;
  if (state === "elsewhere") return `It ran on ${run.host}, last heard of ${at(run.updated)}; whether it still does cannot be seen from here.`;
  if (state === "begun") return "It was begun and has no report; how it ended was not kept. Run its file again: what is finished is kept.";
  if (state === "incomplete" && !run.report) return "Its report is no longer here; running it again makes it from the kept results.";
  return "";
}

function work(step) {
  const item = made("li");
  const share = step.total > 0 ? Math.min(1, step.done / step.total) : null;
  const phase = step.label.startsWith(`${step.phase} `) ? "" : `: ${step.phase}`;
  item.append(made("span", `${step.label}${phase}${share === null ? "" : `, ${Math.floor(100 * share)}%`}`));
  const bar = made("progress");
  bar.setAttribute("aria-label", step.label);
  if (share !== null) bar.value = share;
  item.append(bar);
  return item;
}

function facts(pairs, className) {
  const list = made("dl", undefined, className);
  for (const [name, value] of pairs) {
    const pair = made("div");
    pair.append(made("dt", name), made("dd", value));
    list.append(pair);
  }
  return list;
}

function course(run, state) {
  const parts = [];
  const reason = explained(run, state);
  if (state === "running") {
    const steps = made("ul", undefined, "now");
    steps.append(...(run.now.length ? run.now.map(work) : [made("li", "Between two steps, or starting services", "muted")]));
    parts.push(steps);
  }
  if (reason) parts.push(made("p", reason, "warn"));
  if (run.course_error) parts.push(made("p", run.course_error, "warn"));
  if (state !== "complete" && run.steps?.length && !(state === "incomplete" && run.report)) {
    parts.push(facts(run.steps.map(([group, done, total]) => [group, `${done} of ${total}`]), "steps"));
  }
  for (const line of run.failed ?? []) parts.push(made("p", `Failed: ${line}`, "warn small"));
  const open = ["failed", "interrupted", "unfinished", "elsewhere"].includes(state) || (state === "incomplete" && (run.failed?.length || !run.report));
  if (open && run.command) {
    parts.push(made("p", "To go on where it is:", "muted"), made("pre", `cd ${quoted(run.directory)}\n${run.command}`));
  }
  return parts;
}

const quoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\"'\"'")}'`);

function report(run, state) {
  if (!run.report) return [];
  const folder = `/reports/${encodeURIComponent(run.name)}`;
  const parts = [];
  if (!["complete", "incomplete"].includes(state)) parts.push(made("p", "The report of an earlier run:", "muted"));
  if (run.missing) parts.push(made("p", `Incomplete: ${count(run.missing, "part")} missing`, "warn"));
  parts.push(made("p", run.headline, "headline"));
  parts.push(facts([...run.picks, ["Trainings", run.trainings], ["Artefacts", run.artefacts]]));
  const forms = made("p", undefined, "forms");
  for (const [text, file] of [["Report", "report.html"], ["Markdown", "report.md"], ["CSV", "report.csv"], ["JSON", "summary.json"]]) {
    forms.append(link(text, `${folder}/${file}`));
  }
  parts.push(forms);
  return parts;
}

function fill(item, run) {
  const state = stateOf(run);
  const head = made("div", undefined, "head");
  const title = made("h2");
  title.append(run.report ? link(run.title, `/reports/${encodeURIComponent(run.name)}/report.html`) : document.createTextNode(run.title));
  head.append(title, made("span", STATES[state], `badge ${state}`));
  const when = state === "running" ? `since ${at(run.started)}, ${span(Date.now() / 1000 - run.started)}` : at(run.changed);
  const parts = [head, made("p", `${run.name}, ${when}`, "muted"), ...course(run, state)];
  if (run.error) parts.push(made("p", run.error, "warn"));
  item.replaceChildren(...parts, ...report(run, state));
}

/* Changes only what changed, and leaves the keyboard where it is. */
function show(runs) {
  const list = document.getElementById("runs");
  const minute = Math.floor(Date.now() / 60000);
  for (const run of runs) {
    const known = cards.get(run.name) ?? { item: made("li", undefined, "card"), text: "" };
    const text = JSON.stringify([run, run.state === "running" ? minute : 0]);
    if (known.text !== text) {
      const focused = [...known.item.querySelectorAll("a")].indexOf(document.activeElement);
      fill(known.item, run);
      if (focused >= 0) known.item.querySelectorAll("a")[focused]?.focus();
    }
    cards.set(run.name, { item: known.item, text });
  }
  const wanted = runs.map((run) => cards.get(run.name).item);
  if (wanted.length !== list.children.length || wanted.some((item, place) => list.children[place] !== item)) {
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    list.replaceChildren(...wanted);
    focused?.focus();
  }
  for (const name of cards.keys()) if (!runs.some((run) => run.name === name)) cards.delete(name);
}

function say(text, className = "") {
  const state = document.getElementById("state");
  if (state.textContent !== text) state.textContent = text;
  state.className = className;
}

function summed(runs) {
  if (!runs.length) return "No experiment yet: bakeoff run experiments/digits.yaml makes the first.";
  const numbers = new Map();
  for (const run of runs) {
    const name = STATES[stateOf(run)].toLowerCase();
    numbers.set(name, (numbers.get(name) ?? 0) + 1);
  }
  return `${count(runs.length, "experiment")}: ${[...numbers].map(([name, number]) => `${number} ${name}`).join(", ")}`;
}

async function list(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error((await response.json()).error);
  return response.json();
}

async function look() {
  let pause = SLOW_MS;
  try {
    if (!document.hidden) {
      const runs = await list("/api/runs");
      show(runs);
      say(summed(runs));
      if (runs.some((run) => run.state === "running")) pause = FAST_MS;
    }
  } catch (error) {
    say(error instanceof TypeError ? "bakeoff ui does not answer any more; what is shown may be old." : error.message, "warn");
  }
  setTimeout(look, pause);
}

async function tools() {
  for (const tool of await list("/api/links")) {
    const item = made("li");
    item.append(tool.up ? link(tool.title, tool.url) : made("span", `${tool.title}: not running`, "muted"));
    document.getElementById("links").append(item);
  }
}

look();
tools().catch((error) => say(error.message, "warn"));
