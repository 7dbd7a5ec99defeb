/* The live page: an image from a drawing, a drop or a file goes to every artefact of an experiment, one after the other. */
const [canvas, state, answers] = ["canvas", "state", "answers"].map((id) => document.getElementById(id));
const [select, source] = ["experiment", "source"].map((id) => document.getElementById(id));
const pen = canvas.getContext("2d");
let models = null;
let image = null;
let round = 0;

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  image = null;
  round += 1;
  answers.replaceChildren();
  state.textContent = "";
  source.textContent = "Nothing yet: draw above, drop a file on it or choose one.";
}

/* Ink is white on black, as in the digits a model was trained on; a stroke is as wide there as here. */
function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (image instanceof File) clear();
  canvas.setPointerCapture(event.pointerId);
  Object.assign(pen, { strokeStyle: "#fff", lineWidth: 30, lineCap: "round", lineJoin: "round" });
  pen.beginPath();
  pen.moveTo(...place(event));
  pen.lineTo(...place(event));
  pen.stroke();
});
canvas.addEventListener("pointermove", (event) => {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  pen.lineTo(...place(event));
  pen.stroke();
});
canvas.addEventListener("pointerup", async () => {
  image = await new Promise((done) => canvas.toBlob(done, "image/png"));
  source.textContent = "Your drawing";
  ask();
});

async function take(file) {
  if (!file) return;
  clear();
  image = file;
  source.textContent = `${file.name}, ${file.size.toLocaleString()} bytes`;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    pen.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  } catch {
    /* Shown or not: the server decides whether it is an image. */
  }
  ask();
}

const drop = document.getElementById("drop");
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
document.getElementById("file").addEventListener("change", (event) => take(event.target.files[0]));
document.getElementById("clear").addEventListener("click", clear);
document.getElementById("ask").addEventListener("click", ask);
select.addEventListener("change", () => { if (image) ask(); });

function cell(row, content, className) {
  const made = row.insertCell();
  made.setAttribute("role", "cell");
  if (content instanceof Node) made.append(content);
  else made.textContent = content;
  if (className) made.className = className;
  return made;
}

function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}

function bar(name, share) {
  const made = document.createElement("span");
  made.className = "bar";
  const [label, meter] = [document.createElement("b"), document.createElement("meter")];
  label.textContent = `${name} ${percent(share)}`;
  meter.value = share;
  meter.setAttribute("aria-hidden", "true");
  made.append(label, meter);
  return made;
}

function picture(address) {
  const made = document.createElement("img");
  made.src = address;
  made.alt = "The image as the model gets it";
  made.className = "seen";
  return made;
}

function fill(row, answer) {
  const [[best, share], ...others] = answer.top;
  cell(row, picture(answer.seen), "sees");
  cell(row, bar(best, share), "best");
  cell(row, others.slice(0, 2).map(([name, p]) => `${name} ${percent(p)}`).join("\n"), "next muted lines");
  cell(row, `${answer.latency_ms.toFixed(2)} ms`, "num");
  cell(row, Object.entries(answer.server_ms).map(([phase, ms]) => `${phase} ${ms.toFixed(2)}`).join("\n"), "server muted small lines");
}

async function ask() {
  if (!image) {
    state.textContent = "Draw something, drop an image or choose a file first.";
    return;
  }
  const mine = round += 1;
  /* An image may be there before the list of models is. */
  await listed;
  if (mine !== round || !models) return;
  const chosen = models.filter((model) => model.experiment === select.value);
  answers.replaceChildren();
  for (const [number, model] of chosen.entries()) {
    state.textContent = `Asking ${number + 1} of ${chosen.length}: ${model.name}`;
    const response = await fetch(`/api/predict?model=${encodeURIComponent(model.name)}`, { method: "POST", body: image }).catch(() => null);
    if (mine !== round) return;
    const answer = response ? await response.json() : { error: "bakeoff ui does not answer; is it still running?" };
    if (mine !== round) return;
    const row = answers.insertRow();
    row.setAttribute("role", "row");
    const head = document.createElement("th");
    head.scope = "row";
    head.setAttribute("role", "rowheader");
    head.textContent = model.title;
    const small = document.createElement("small");
    small.textContent = `${model.arm}, seed ${model.seed}, ${model.served}`;
    head.append(small);
    row.append(head);
    if (answer.error) cell(row, answer.error, "warn failed").colSpan = 5;
    else fill(row, answer);
  }
  const says = [...new Set([...answers.querySelectorAll(".bar b")].map((label) => label.textContent.split(" ").slice(0, -1).join(" ")))];
  state.textContent = says.length > 1 ? `They disagree: ${says.join(", ")}` : says.length ? `All say ${says[0]}` : "No answer";
}

async function list() {
  const response = await fetch("/api/models").catch(() => null);
  if (!response?.ok) {
    state.textContent = "The list of models could not be read; bakeoff ui says why on its terminal.";
    return;
  }
  models = await response.json();
  const names = [...new Set(models.map((model) => model.experiment))];
  select.append(...names.map((name) => new Option(`${name} (${models.find((model) => model.experiment === name).input})`, name)));
  if (!names.length) state.textContent = "No model yet: bakeoff run experiments/digits.yaml trains some.";
}

clear();
const listed = list();
