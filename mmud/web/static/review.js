// The page: one sample at a time, its masks and texts, and what a person says of it. Every text from data is set through
// textContent; nothing on this page is ever read as HTML.
import { Filters, agreement, askName, askReason, help } from "./review-panels.js";
import { Picture, make } from "./review-picture.js";
import { Samples, ask, decide } from "./review-store.js";
import { TextField, differences } from "./review-text.js";

const byId = (id) => document.getElementById(id);
const TITLES = { question: "Question", answer: "Answer", caption: "Caption" };
const AHEAD = 3;
const browsing = document.documentElement.dataset.mode === "browse";

const page = { reviewer: "", queue: null, count: 0, at: 0, entry: null, pinned: 0, counts: null, asked: 0, pressed: 0 };
const others = () => byId("status").value === "disputed" || byId("status").value === "settled";
const samples = new Samples(() => ({ reviewer: page.reviewer, others: others() ? "1" : "" }));
const picture = new Picture(byId("picture"), { point: light, pick });
const fields = Object.fromEntries(
  Object.entries(TITLES).map(([name, title]) => [
    name, new TextField(name, title, { light, pick, save: (text) => save(name, text) }, !browsing),
  ]),
);
byId("fields").append(...Object.values(fields).map((field) => field.node));

let hiding = 0;
function say(text, bad = false) {
  const toast = byId("toast");
  clearTimeout(hiding);
  toast.textContent = text;
  toast.classList.toggle("bad", bad);
  toast.hidden = false;
  hiding = setTimeout(() => { toast.hidden = true; }, bad ? 9000 : 2600);
}

// -- objects ----------------------------------------------------------------------------------------------------------------

function light(index) {
  const lit = index || page.pinned;
  for (const node of document.querySelectorAll("[data-object]")) node.classList.toggle("lit", Number(node.dataset.object) === lit);
  picture.light(lit);
}

// An object was chosen: it tags the words that are selected; without any it stays lit.
function pick(index) {
  if (index && !browsing && tagSelection(index)) return;
  page.pinned = page.pinned === index ? 0 : index;
  light(page.pinned);
}

function tagSelection(index) {
  for (const field of Object.values(fields)) {
    const chosen = field.selection();
    if (!chosen) continue;
    if (field.name !== "answer") {
      if (field.editing && chosen.start === chosen.end) return false;
      say("Tags stand in the answer alone.");
      return true;
    }
    const done = field.tag(index);
    const words = done.words ? `“${done.words}”` : "the word";
    done.saved.then(() => say(done.added ? `${words} means object ${index}.` : `${words} no longer means object ${index}.`));
    return true;
  }
  return false;
}

function objectRow(object, position) {
  const row = make("li"), button = make("button", "object"), index = position + 1;
  button.type = "button";
  button.dataset.object = index;
  button.style.setProperty("--hue", hue(index));
  button.append(make("b", "", String(index)), " ", object.phrases.join(" / ") || object.category || "no phrase");
  if (object.category && object.phrases.length) button.append(" ", make("span", "category", object.category));
  button.addEventListener("mousedown", (event) => event.preventDefault());
  button.addEventListener("mouseenter", () => light(index));
  button.addEventListener("mouseleave", () => light(0));
  button.addEventListener("focus", () => light(index));
  button.addEventListener("blur", () => light(0));
  button.addEventListener("click", () => pick(index));
  row.append(button);
  return row;
}

// -- showing a sample --------------------------------------------------------------------------------------------------------

const numberAt = (at) => (page.queue ? page.queue[at] : at);

// When the key was pressed that is being acted on; now, where it was no key.
const pressed = () => page.pressed || performance.now();

async function show(at, since = pressed()) {
  if (!page.count) { empty(); return; }
  page.at = Math.min(Math.max(at, 0), page.count - 1);
  const asked = ++page.asked;
  let entry;
  try {
    entry = await samples.load(numberAt(page.at));
  } catch (error) {
    say(error.message, true);
    return;
  }
  if (asked !== page.asked) return;
  page.entry = entry;
  page.pinned = 0;
  render(entry);
  // Measured when the frame with the sample has been painted.
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      performance.measure("mmud-show", { start: since, end: performance.now(), detail: entry.number });
      document.documentElement.dataset.shown = entry.record.id;
      for (let next = 1; next <= AHEAD; next++) {
        if (page.at + next < page.count) samples.load(numberAt(page.at + next)).catch(() => undefined);
      }
    };
    channel.port2.postMessage(0);
  });
}

function empty() {
  page.entry = null;
  byId("picture").replaceChildren(make("div", "noimage", "No sample fits the filters."));
  for (const id of ["objects", "findings", "meta", "sample-id", "layers"]) byId(id).replaceChildren();
  for (const id of ["verdict", "dispute", "more", "fields", "objects-title"]) byId(id).hidden = true;
  byId("position").value = "";
  byId("of").textContent = "of 0";
  controls();
}

function render(entry) {
  const { record } = entry;
  for (const field of Object.values(fields)) if (field.editing) field.area.blur();
  byId("fields").hidden = byId("objects-title").hidden = false;
  byId("sample-id").textContent = record.id;
  const size = `${record.size[1]} × ${record.size[0]}`;
  byId("meta").textContent = [record.split, record.source, size, record.license].filter(Boolean).join(" · ");
  byId("objects-title").textContent = record.objects.length === 1 ? "1 object" : `${record.objects.length} objects`;
  byId("objects").replaceChildren(...record.objects.map(objectRow));
  byId("findings").replaceChildren(
    ...record.findings.map((finding) => make("p", finding.severity, `${finding.code} ${finding.message}`)),
    ...record.troubles.map((trouble) => make("p", "warning", trouble)),
  );
  byId("more").hidden = !Object.keys(record.provenance).length;
  byId("provenance").textContent = JSON.stringify(record.provenance, null, 1);
  picture.show(entry);
  for (const extra of document.querySelectorAll(".said")) extra.remove();
  for (const [title, text] of record.said) {
    const said = new TextField("said", title, { light, pick }, false);
    said.node.classList.add("said");
    said.set(text, text, [], record.objects.length);
    byId("fields").append(said.node);
  }
  if (record.scores.length) byId("meta").textContent += ` · ${record.scores.map(([name, value]) => `${name} ${value.toFixed(3)}`).join(" · ")}`;
  byId("position").value = page.at + 1;
  byId("of").textContent = `of ${page.count.toLocaleString("en")}`;
  window.scrollTo(0, 0);
  judged(entry);
  controls();
}

// What depends on decisions, and is shown anew after each.
function judged({ record }) {
  for (const [name, field] of Object.entries(fields)) {
    field.set(record.mine.texts[name] ?? record.texts[name], record.texts[name], record.mine.problems[name] ?? [], record.objects.length);
  }
  const { verdict, reason, final } = record.mine;
  const words = { accept: "accepted", reject: "rejected", skip: "skipped" };
  byId("verdict").hidden = !verdict;
  byId("verdict").className = `is-${verdict}`;
  byId("verdict").textContent = verdict ? `${words[verdict]}${final ? ", settled" : ""}${reason ? `: ${reason}` : ""}` : "";
  dispute(record);
}

function dispute(record) {
  const box = byId("dispute");
  box.hidden = !record.everybody || !others();
  if (box.hidden) return;
  const told = { verdict: "The reviewers differ in their verdict.", text: "The reviewers accepted different texts." };
  const settled = Object.values(record.everybody).some((one) => one.final);
  box.replaceChildren(make("h2", "", told[record.dispute] ?? (settled ? "This dispute is settled." : "The reviewers agree.")));
  for (const [name, one] of Object.entries(record.everybody)) {
    const opinion = make("div", "opinion"), line = make("div");
    const said = one.verdict ? `${one.verdict}${one.reason ? `: ${one.reason}` : ""}` : "no verdict";
    line.append(make("strong", "", name), make("span", `is-${one.verdict}`, said), make("span", "gap"));
    if (one.verdict && one.verdict !== "skip") {
      const take = make("button", "", one.verdict === "accept" ? "Accept it this way" : "Reject it");
      take.type = "button";
      take.addEventListener("click", () => settle(one));
      line.append(take);
    }
    opinion.append(line);
    const edited = Object.entries(one.texts).filter(([field, text]) => text !== record.texts[field]);
    if (one.verdict === "accept" && !edited.length) opinion.append(make("p", "info", "with the texts as they are"));
    for (const [field, text] of edited) {
      const shown = make("p", "text");
      shown.append(make("strong", "", `${TITLES[field]}: `), ...differences(record.texts[field], text));
      opinion.append(shown);
    }
    box.append(opinion);
  }
}

function controls() {
  for (const id of ["accept", "reject", "skip"]) byId(id).disabled = !page.entry;
  byId("previous").disabled = page.at === 0;
  byId("next").disabled = page.at >= page.count - 1;
}

// -- layers ------------------------------------------------------------------------------------------------------------------

function layerChoice(systems) {
  if (!systems.length) return;
  const choice = (name, title, stroke) => {
    const label = make("label"), box = make("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => layersChanged());
    box.dataset.layer = name;
    label.append(box, make("span", `stroke ${stroke}`), title);
    return label;
  };
  byId("layers").append(choice("labels", "ground truth", "fill"), ...systems.map((name, index) => choice(name, name, index ? "dashed" : "")));
}

function layersChanged() {
  const boxes = [...document.querySelectorAll("[data-layer]")];
  const wanted = boxes.filter((box) => box.checked).map((box) => box.dataset.layer);
  picture.shown = { has: (name) => wanted.some((system) => name === system || name.startsWith(`${system}, `)) || (!boxes.length && name === "labels") };
  if (page.entry) picture.draw();
}

// -- deciding ----------------------------------------------------------------------------------------------------------------

function about(entry) {
  return { reviewer: page.reviewer, number: entry.number, labels: entry.record.labels, others: others() };
}

async function keep(entry, body) {
  try {
    const answer = await decide({ ...about(entry), ...body });
    Object.assign(entry.record, answer);
    if (page.entry === entry) judged(entry);
    progressSoon();
  } catch (error) {
    say(error.message, true);
    throw error;
  }
}

const save = (field, text) => keep(page.entry, { kind: "edit", field, text });

async function give(verdict, reason = "", final = false) {
  const entry = page.entry, since = pressed();
  if (!entry || browsing) return;
  try {
    await keep(entry, { kind: "verdict", verdict, reason, final });
  } catch { return; }
  const done = { accept: "Accepted.", reject: "Rejected.", skip: "Skipped." }[verdict];
  if (page.at + 1 < page.count) { say(done); show(page.at + 1, since); }
  else say(`${done} This was the last one here.`);
}

async function reject() {
  if (!page.entry) return;
  const reason = await askReason();
  if (reason !== null) await give("reject", reason);
}

// Whoever settles a dispute takes over the texts of one side, then decides.
async function settle(opinion) {
  const entry = page.entry, { record } = entry;
  try {
    for (const field of Object.keys(TITLES)) {
      const wanted = opinion.texts[field] ?? record.texts[field];
      if (wanted !== (record.mine.texts[field] ?? record.texts[field])) await keep(entry, { kind: "edit", field, text: wanted });
    }
  } catch { return; }
  await give(opinion.verdict, opinion.reason, true);
}

async function undo() {
  let answer;
  try {
    answer = await decide({ kind: "undo", reviewer: page.reviewer });
  } catch (error) { say(error.message, true); return; }
  if (answer.number === null) { say("There is nothing of yours to undo."); return; }
  samples.held.delete(answer.number);
  const at = page.queue ? page.queue.indexOf(answer.number) : answer.number;
  if (at >= 0) await show(at);
  say(`Undone: ${answer.undone}${at < 0 ? ", of a sample that the filters leave out" : ""}.`);
  progressSoon();
}

let timer = 0;
function progressSoon() {
  clearTimeout(timer);
  timer = setTimeout(showProgress, 150);
}

async function showProgress() {
  if (browsing) return;
  const facts = await ask("api/progress");
  const mine = facts.reviewers[page.reviewer] ?? { accept: 0, reject: 0, skip: 0 };
  for (const name of ["accept", "reject", "skip"]) {
    document.querySelector(`#progress .${name}`).style.width = `${(100 * mine[name]) / Math.max(1, facts.total)}%`;
  }
  const done = mine.accept + mine.reject;
  byId("progress").setAttribute("aria-valuemax", facts.total);
  byId("progress").setAttribute("aria-valuenow", done);
  byId("tally").textContent = `${mine.accept} accepted, ${mine.reject} rejected, ${mine.skip} skipped, ${(facts.total - done - mine.skip).toLocaleString("en")} to do`;
}

// -- the queue ---------------------------------------------------------------------------------------------------------------

async function requeue(keepPlace = false) {
  samples.forgetAll();
  let found;
  try {
    found = await ask("api/queue", { ...filters.query(), reviewer: page.reviewer });
  } catch (error) { say(error.message, true); return; }
  page.queue = found.numbers;
  page.count = found.count;
  const old = keepPlace && page.entry ? (page.queue ? page.queue.indexOf(page.entry.number) : page.entry.number) : -1;
  await show(old >= 0 ? old : browsing || byId("order").value ? 0 : found.start);
}

async function nextUndecided() {
  const found = await ask("api/queue", { ...filters.query(), status: "todo", reviewer: page.reviewer });
  const fits = found.numbers ? new Set(found.numbers) : null;
  for (let at = page.at + 1; at < page.count; at++) {
    if (!fits || fits.has(numberAt(at))) { await show(at); return; }
  }
  say("No sample after this one waits for your decision.");
}

async function rename() {
  page.reviewer = await askName(page.reviewer);
  localStorage.setItem("mmud-reviewer", page.reviewer);
  byId("open-name").textContent = page.reviewer;
  await requeue(true);
  showProgress();
}

// -- keys --------------------------------------------------------------------------------------------------------------------

const toggleMasks = () => { picture.masks = !picture.masks; picture.draw(); };
const ANYWHERE = {
  j: () => show(page.at + 1), ArrowRight: () => show(page.at + 1), k: () => show(page.at - 1), ArrowLeft: () => show(page.at - 1),
  m: toggleMasks, f: () => filters.toggle(), "/": () => filters.toggle(true), "?": () => help(browsing ? "browse" : "review"),
  0: () => { page.pinned = 0; light(0); }, Escape: () => { page.pinned = 0; light(0); filters.toggle(false); },
};
const REVIEW = {
  a: () => give("accept"), r: reject, s: () => give("skip"), u: undo, n: nextUndecided, g: showAgreement,
  e: () => fields.answer.begin(fields.answer.text.length), q: () => fields.question.begin(fields.question.text.length),
  c: () => fields.caption.begin(fields.caption.text.length),
};
const BROWSE = { l: () => { for (const box of [...document.querySelectorAll("[data-layer]")].slice(1)) box.click(); } };

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "z" && !browsing) { event.preventDefault(); undo(); }
    return;
  }
  const digit = Number(event.key);
  const own = browsing ? BROWSE : REVIEW;
  if (digit >= 1 && page.entry && digit <= page.entry.record.objects.length) { event.preventDefault(); pick(digit); return; }
  const act = ANYWHERE[event.key] ?? (page.entry ? own[event.key] : undefined);
  if (!act || !Object.hasOwn({ ...ANYWHERE, ...own }, event.key)) return;
  event.preventDefault();
  page.pressed = event.timeStamp;
  act();
  page.pressed = 0;
});

async function showAgreement() {
  await agreement();
}

for (const [id, act] of Object.entries({
  previous: () => show(page.at - 1), next: () => show(page.at + 1), accept: () => give("accept"), reject, skip: () => give("skip"), undo,
  "open-help": () => help(browsing ? "browse" : "review"), "open-agreement": showAgreement, "open-name": rename,
})) byId(id).addEventListener("click", act);
byId("show-disputes").addEventListener("click", () => { byId("agreement-dialog").close(); filters.toggle(true); filters.set("status", "disputed"); });
byId("go").addEventListener("submit", (event) => {
  event.preventDefault();
  const at = Number(byId("position").value.replace(/\D/g, ""));
  byId("position").blur();
  if (at) show(at - 1);
});

// -- beginning ---------------------------------------------------------------------------------------------------------------

page.reviewer = browsing ? "" : document.querySelector('meta[name="mmud-reviewer"]').content || localStorage.getItem("mmud-reviewer") || "";
// Both at once: the queue without filters does not depend on what can be filtered by.
const [overview, firstQueue] = await Promise.all([ask("api/overview"), ask("api/queue", { reviewer: page.reviewer })]);
layerChoice(overview.systems);
layersChanged();
const filters = new Filters(overview, () => requeue());
if (!browsing && !page.reviewer) await rename();
else {
  byId("open-name").textContent = page.reviewer;
  [page.queue, page.count] = [firstQueue.numbers, firstQueue.count];
  await show(browsing ? 0 : firstQueue.start);
  showProgress();
}
for (const note of overview.notes) say(note, true);
filters.complete().catch((error) => say(error.message, true));
