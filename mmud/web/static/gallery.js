"use strict";
// Every text on the page is set through textContent: a caption from a stranger is never read as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function make(tag, classes, text) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  if (text !== undefined) node.textContent = text;
  return node;
}

class Picture {
  constructor(card, record) {
    this.record = record;
    this.card = card;
    this.pinned = 0;
    this.masks = null;
    this.canvas = make("canvas");
    this.canvas.width = record.size[1];
    this.canvas.height = record.size[0];
    this.canvas.addEventListener("mousemove", (event) => this.light(this.at(event)));
    this.canvas.addEventListener("mouseleave", () => this.light(0));
    this.canvas.addEventListener("click", (event) => this.pin(this.at(event)));
  }

  load() {
    // A card without masks of this name, as of a predicted caption, lights up its labels and draws none unasked.
    const named = this.record.layers[byId("layer").value];
    this.unasked = named !== undefined;
    this.masks = (named || this.record.layers.labels).map((mask) => (mask ? planeOf(mask).pixels : null));
    this.areas = this.masks.map((mask) => (mask ? mask.reduce((sum, bit) => sum + bit, 0) : 0));
  }

  at(event) {
    if (!this.masks) this.load();
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.canvas.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.canvas.height);
    let best = 0;
    this.masks.forEach((mask, index) => {
      if (mask && mask[y * this.canvas.width + x] && (!best || this.areas[index] < this.areas[best - 1])) best = index + 1;
    });
    return best;
  }

  pin(index) {
    this.pinned = this.pinned === index ? 0 : index;
    this.light(this.pinned);
  }

  light(index) {
    const lit = index || this.pinned;
    for (const node of this.card.querySelectorAll("[data-object]")) node.classList.toggle("lit", Number(node.dataset.object) === lit);
    this.draw(lit);
  }

  draw(lit = this.pinned) {
    if (!this.masks) this.load();
    const { width, height } = this.canvas;
    const image = new ImageData(width, height);
    if ((byId("masks").checked && this.unasked) || lit) {
      this.masks.forEach((mask, index) => {
        if (!mask || (lit && lit !== index + 1)) return;
        const color = hue(index + 1);
        const [red, green, blue] = rgb(color);
        for (let i = 0; i < mask.length; i++) {
          if (!mask[i]) continue;
          const x = i % width;
          const edge = x === 0 || x === width - 1 || !mask[i - 1] || !mask[i + 1] || !mask[i - width] || !mask[i + width];
          image.data.set([red, green, blue, edge ? 255 : lit ? 140 : 90], 4 * i);
        }
      });
      if (lit) for (let i = 0; i < width * height; i++) if (!image.data[4 * i + 3]) image.data.set([0, 0, 0, 110], 4 * i);
    }
    this.canvas.getContext("2d").putImageData(image, 0, 0);
  }
}

function pointer(node, index, picture) {
  node.dataset.object = index;
  node.style.setProperty("--hue", hue(index));
  node.type = "button";
  node.addEventListener("mouseenter", () => picture.light(index));
  node.addEventListener("mouseleave", () => picture.light(0));
  node.addEventListener("focus", () => picture.light(index));
  node.addEventListener("blur", () => picture.light(0));
  node.addEventListener("click", () => picture.pin(index));
  return node;
}

function tagged(text, record, picture) {
  const line = make("p", "text");
  let from = 0;
  for (const match of text.matchAll(/<(?:LCL|OBJ)-(\d{1,9})>/g)) {
    line.append(text.slice(from, match.index));
    const index = Number(match[1]);
    const known = index >= 1 && index <= record.objects.length;
    const node = make("button", known ? "tag" : "tag lost", String(index));
    if (known) pointer(node, index, picture);
    else { node.type = "button"; node.title = "This tag points at no object."; }
    line.append(node);
    from = match.index + match[0].length;
  }
  line.append(text.slice(from));
  return line;
}

function section(body, title, node) {
  body.append(make("h2", "", title), node);
}

function framed(title, frame) {
  const figure = make("figure");
  figure.append(frame, make("figcaption", "", title));
  return figure;
}

// The sample's own picture by itself, or in a row with those that it is to be compared with.
function pictures(record, frame) {
  if (!record.beside.length) return frame;
  const row = make("div", "pair");
  row.append(framed("Real image", frame));
  for (const { title, image, trouble } of record.beside) {
    const other = make("div", "picture");
    if (image) {
      const picture = make("img");
      picture.addEventListener("load", () => other.classList.toggle("small", picture.naturalHeight < 300));
      picture.src = image;
      picture.alt = `${title} of sample ${record.id}`;
      other.append(picture);
    } else {
      other.append(make("div", "noimage", trouble));
    }
    row.append(framed(title, other));
  }
  return row;
}

function makeCard(record) {
  const card = make("article");
  card.tabIndex = -1;
  card.id = `sample-${record.number}`;
  const picture = new Picture(card, record);
  const frame = make("div", record.size[1] < 300 ? "picture small" : "picture");
  if (record.image) {
    const image = make("img");
    image.src = record.image;
    image.alt = `image of sample ${record.id}`;
    frame.append(image, picture.canvas);
  } else {
    frame.append(make("div", "noimage", record.trouble || "The image is not there."));
  }
  const body = make("div");
  const head = make("div", "head");
  head.append(make("strong", "", record.id));
  const size = `${record.size[1]} × ${record.size[0]}`;
  head.append(make("span", "meta", [record.split, record.source, size, record.license].filter(Boolean).join(" · ")));
  body.append(head);
  for (const finding of record.findings) body.append(make("p", `finding ${finding.severity}`, `${finding.code} ${finding.message}`));
  if (record.figures.length) {
    const figures = make("table");
    for (const [name, value] of record.figures) {
      const row = make("tr");
      row.append(make("td", "", name), make("td", "", value));
      figures.append(row);
    }
    section(body, "Scores", figures);
  }
  for (const [title, text] of record.texts) {
    section(body, title, text ? tagged(text, record, picture) : make("p", "none", "none"));
  }
  const list = make("ul");
  record.objects.forEach((object, position) => {
    const row = make("li");
    const button = pointer(make("button", "phrase"), position + 1, picture);
    button.append(`${position + 1}  `, object.phrases.join(" / ") || "no phrase");
    if (object.category) button.append(" ", make("span", "category", object.category));
    row.append(button);
    list.append(row);
  });
  section(body, record.objects.length === 1 ? "1 object" : `${record.objects.length} objects`, list);
  if (record.beside.length) card.classList.add("wide");
  card.append(pictures(record, frame), body);
  return { card, picture, record, text: JSON.stringify([record.id, record.texts, record.objects, record.findings]).toLowerCase() };
}

const cards = data.records.map(makeCard);
byId("cards").append(...cards.map((entry) => entry.card));

function options(id, values) {
  for (const value of [...new Set(values)].sort()) {
    const node = make("option", "", value);
    node.value = value;
    byId(id).append(node);
  }
}
options("split", data.records.map((record) => record.split));
options("source", data.records.map((record) => record.source));
for (const name of data.layers) {
  const node = make("option", "", name);
  node.value = name;
  byId("layer").append(node);
}
byId("layer").hidden = data.layers.length < 2;

function shown() {
  return cards.filter((entry) => !entry.card.hidden);
}

function filter() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [split, source, only] = [byId("split").value, byId("source").value, byId("only").checked];
  for (const { card, record, text } of cards) {
    card.hidden = !(words.every((word) => text.includes(word)) && (!split || record.split === split) &&
      (!source || record.source === source) && (!only || record.findings.length));
  }
  byId("count").textContent = `${shown().length} of ${cards.length}`;
}

// Masks are decoded when their picture comes near the window, not before.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    cards.find((candidate) => candidate.card === entry.target).picture.draw();
  }
}, { rootMargin: "600px" });
cards.forEach(({ card }) => seen.observe(card));

function redraw() {
  for (const { picture } of cards) if (picture.masks) { picture.masks = null; picture.draw(); }
}
byId("controls").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["search", "split", "source", "only"]) byId(id).addEventListener("input", filter);
byId("masks").addEventListener("input", redraw);
byId("layer").addEventListener("input", redraw);

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input[type=search], select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); byId("search").focus(); }
  if (event.key === "m") { byId("masks").checked = !byId("masks").checked; redraw(); }
  if (event.key === "j" || event.key === "k") {
    const list = shown();
    const current = list.findIndex(({ card }) => card.contains(document.activeElement));
    const next = list[Math.min(Math.max(current + (event.key === "j" ? 1 : -1), 0), list.length - 1)];
    if (next) { next.card.focus(); next.card.scrollIntoView({ block: "start" }); }
  }
});
filter();
