// The dialogs and the filters: small forms that tell the page what was chosen.
import { make } from "./review-picture.js";
import { ask } from "./review-store.js";

const byId = (id) => document.getElementById(id);
const FILTERS = ["text", "status", "split", "source", "category", "code", "score", "low", "high", "order"];
const REASONS = [
  "the answer is wrong",
  "answerable without the image",
  "tags are wrong or missing",
  "the caption is wrong",
  "too vague or too short",
  "the masks are wrong",
];

const KEYS = {
  review: [
    ["a", "accept"], ["r", "reject, with a reason"], ["s", "skip"], ["u", "undo my last decision or edit"],
    ["e", "edit the answer"], ["q", "edit the question"], ["c", "edit the caption"], ["Esc", "leave a text (it is saved)"],
    ["Alt 1…9", "while editing: tag with object 1…9"], ["n", "next without my decision"], ["g", "progress and agreement"],
  ],
  browse: [["l", "show or hide the systems' masks"]],
  both: [
    ["j →", "next"], ["k ←", "previous"], ["1…9", "light up object 1…9, or tag selected words"], ["0", "light up none"],
    ["m", "masks on or off"], ["f", "filters"], ["/", "search"], ["?", "this help"],
  ],
};

for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close(""));

// Shows a dialog; the promise has its result, "" where it was left.
function shown(dialog) {
  return new Promise((done) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => done(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

export async function askReason() {
  const dialog = byId("reject-dialog");
  const buttons = REASONS.map((reason, index) => {
    const row = make("li"), button = make("button");
    button.type = "button";
    button.append(make("kbd", "", String(index + 1)), reason);
    button.addEventListener("click", () => { byId("reason").value = reason; dialog.close("reject"); });
    row.append(button);
    return row;
  });
  byId("reasons").replaceChildren(...buttons);
  byId("reason").value = "";
  const digit = (event) => {
    const chosen = REASONS[Number(event.key) - 1];
    if (!chosen || event.target === byId("reason") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    byId("reason").value = chosen;
    dialog.close("reject");
  };
  dialog.addEventListener("keydown", digit);
  const result = await shown(dialog);
  dialog.removeEventListener("keydown", digit);
  return result === "reject" ? byId("reason").value.trim() : null;
}

export async function askName(before) {
  byId("name").value = before;
  while (true) {
    const result = await shown(byId("name-dialog"));
    const name = byId("name").value.trim();
    if (result === "name" && name) return name;
    if (before) return before;
  }
}

export function help(mode) {
  const row = ([key, what]) => {
    const line = make("div");
    line.append(make("kbd", "", key), make("span", "", what));
    return line;
  };
  byId("keys").replaceChildren(...[...KEYS[mode], ...KEYS.both].map(row));
  return shown(byId("help-dialog"));
}

const figure = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));

function table(header, rows) {
  const node = make("table"), head = make("tr");
  head.append(...header.map((title) => make("th", "", title)));
  node.append(head);
  for (const cells of rows) {
    const row = make("tr");
    row.append(...cells.map((cell, index) => make("td", index ? "number" : "", String(cell))));
    node.append(row);
  }
  return node;
}

export async function agreement() {
  const { progress, disputes, agreement: found } = await ask("api/agreement");
  const rows = Object.entries(progress.reviewers).map(([name, own]) => [name, own.accept, own.reject, own.skip, own.edited]);
  const pairs = found.map((pair) => [pair.reviewers.join(" and "), pair.samples, figure(pair.agreement), figure(pair.kappa)]);
  byId("agreement").replaceChildren(
    make("p", "", `${progress.decided.toLocaleString("en")} of ${progress.total.toLocaleString("en")} samples are decided, ${disputes} in dispute.`),
    rows.length ? table(["reviewer", "accepted", "rejected", "skipped", "edited"], rows) : make("p", "info", "Nobody has decided anything yet."),
    pairs.length ? table(["reviewers", "in common", "equal", "Cohen’s κ"], pairs) : make("p", "info", "No two reviewers have a sample in common."),
  );
  return shown(byId("agreement-dialog"));
}

function options(id, values) {
  for (const [value, title] of values) {
    const node = make("option", "", title);
    node.value = value;
    byId(id).append(node);
  }
}

const counted = (values) => Object.entries(values).map(([name, count]) => [name, `${name} (${count.toLocaleString("en")})`]);

export class Filters {
  constructor(overview, changed) {
    this.form = byId("filters");
    this.changed = changed;
    options("split", counted(overview.splits));
    options("source", counted(overview.sources));
    options("score", overview.scores.map((score, index) => [index, score.name]));
    for (const node of document.querySelectorAll(".scored")) node.hidden = !overview.scores.length;
    byId("open-filters").addEventListener("click", () => this.toggle());
    byId("clear").addEventListener("click", () => this.clear());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    let timer = 0;
    this.form.addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => this.apply(), event.target.tagName === "INPUT" ? 200 : 0);
    });
  }

  // Values that take the server longer to find come once the first sample is there.
  async complete() {
    const facets = await ask("api/facets");
    options("category", counted(facets.categories));
    options("code", Object.entries(facets.codes).map(([code, [count, title]]) => [code, `${code} ${title} (${count.toLocaleString("en")})`]));
  }

  toggle(open = this.form.hidden) {
    this.form.hidden = !open;
    byId("open-filters").setAttribute("aria-expanded", String(open));
    if (open) byId("text").focus();
  }

  query() {
    const query = Object.fromEntries(FILTERS.map((name) => [name, byId(name).value]));
    if (query.status === "all") query.status = "";
    if (!query.low && !query.high && !query.order) query.score = "";
    return query;
  }

  clear() {
    this.form.reset();
    this.apply();
  }

  set(name, value) {
    byId(name).value = value;
    this.apply();
  }

  apply() {
    const count = Object.entries(this.query()).filter(([name, value]) => value !== "" && name !== "score").length;
    byId("filter-count").textContent = count;
    byId("filter-count").hidden = !count;
    this.changed();
  }
}
