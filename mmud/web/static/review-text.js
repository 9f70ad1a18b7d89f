// A text with its tags: shown with chips that light up their objects, edited in place as plain text.
import { make } from "./review-picture.js";

const TAG = /<(?:LCL|OBJ)-(\d{1,9})>/g;

// The text with object `number` tagged after the words from `start` to `end`; the same tag there already is taken away.
export function withTag(text, start, end, number) {
  // Without a selection, the word before the cursor is meant.
  if (start === end) start = 0;
  while (end > start && /\s/.test(text[end - 1])) end--;
  while (end < text.length && /[\p{L}\p{N}_'’-]/u.test(text[end])) end++;
  const tag = `<LCL-${number}>`;
  const following = text.slice(end).match(/^(?:\s*<(?:LCL|OBJ)-\d{1,9}>)+/)?.[0] ?? "";
  const at = following.indexOf(tag);
  if (at >= 0) {
    const kept = following.slice(0, at).replace(/\s+$/, "") + following.slice(at + tag.length);
    return { text: text.slice(0, end) + kept + text.slice(end + following.length), end, added: false };
  }
  const before = text.slice(0, end);
  return { text: `${before}${before ? " " : ""}${tag}${text.slice(end)}`, end, added: true };
}

export class TextField {
  // `on.light(object)`, `on.pick(object)`, `on.save(text)`: a promise; it tells the person and fails when the text could
  // not be kept.
  constructor(name, title, on, editable) {
    this.name = name;
    this.on = on;
    this.node = make("section", editable ? "field editable" : "field");
    this.node.dataset.field = name;
    this.head = make("header");
    this.mark = make("span", "mark", "edited");
    this.compare = make("button", "quiet", "compare");
    this.restore = make("button", "quiet", "restore");
    this.edit = make("button", "quiet", "edit");
    for (const button of [this.compare, this.restore, this.edit]) button.type = "button";
    this.head.append(make("h2", "", title), this.mark, make("span", "gap"), this.compare, this.restore, this.edit);
    this.view = make("p", "text");
    this.area = make("textarea");
    this.area.setAttribute("aria-label", title);
    this.area.spellcheck = true;
    this.note = make("p", "problem");
    this.note.setAttribute("role", "alert");
    this.node.append(this.head, this.view, this.area, this.note);
    this.area.hidden = this.note.hidden = true;
    this.edit.hidden = !editable;
    if (!editable) return;
    this.edit.addEventListener("click", () => this.begin(this.text.length));
    this.view.addEventListener("click", (event) => this.clicked(event));
    this.restore.addEventListener("click", () => this.put(this.original));
    this.compare.addEventListener("click", () => this.toggleCompare());
    this.area.addEventListener("input", () => this.grow());
    this.area.addEventListener("blur", () => this.leave());
    this.area.addEventListener("keydown", (event) => this.keyed(event));
  }

  set(text, original, problems, objects) {
    this.text = text;
    this.original = original;
    this.objects = objects;
    this.comparing = false;
    const edited = text !== original;
    for (const node of [this.mark, this.restore, this.compare]) node.hidden = !edited;
    this.note.hidden = !problems.length;
    this.note.textContent = problems.join("; ");
    this.node.classList.toggle("broken", problems.length > 0);
    if (!this.editing) this.render();
  }

  render() {
    this.view.className = this.text ? "text" : "text none";
    this.view.replaceChildren(...(this.text ? this.nodes(this.text) : ["none"]));
    this.compare.textContent = "compare";
  }

  nodes(text) {
    const found = [];
    let from = 0;
    for (const match of text.matchAll(TAG)) {
      if (match.index > from) found.push(document.createTextNode(text.slice(from, match.index)));
      found.push(this.chip(match[0], Number(match[1])));
      from = match.index + match[0].length;
    }
    if (from < text.length) found.push(document.createTextNode(text.slice(from)));
    return found;
  }

  chip(raw, number) {
    const known = number >= 1 && number <= this.objects;
    const node = make("button", known ? "tag" : "tag lost", String(number));
    node.type = "button";
    node.dataset.raw = raw;
    if (!known) {
      node.title = "This tag points at no object.";
      return node;
    }
    node.dataset.object = number;
    node.style.setProperty("--hue", hue(number));
    node.setAttribute("aria-label", `object ${number}`);
    node.addEventListener("mouseenter", () => this.on.light(number));
    node.addEventListener("mouseleave", () => this.on.light(0));
    node.addEventListener("focus", () => this.on.light(number));
    node.addEventListener("blur", () => this.on.light(0));
    node.addEventListener("click", () => this.on.pick(number));
    return node;
  }

  toggleCompare() {
    this.comparing = !this.comparing;
    if (!this.comparing) { this.render(); return; }
    this.view.replaceChildren(...differences(this.original, this.text));
    this.compare.textContent = "done";
  }

  // The selected part of the text, in its own characters; null where nothing of it is selected.
  selection() {
    if (this.editing) return { start: this.area.selectionStart, end: this.area.selectionEnd };
    const chosen = document.getSelection();
    if (this.comparing || !chosen || chosen.isCollapsed || !chosen.rangeCount) return null;
    const range = chosen.getRangeAt(0);
    if (!this.view.contains(range.startContainer) || !this.view.contains(range.endContainer)) return null;
    return { start: this.offset(range.startContainer, range.startOffset), end: this.offset(range.endContainer, range.endOffset) };
  }

  offset(node, within) {
    const children = [...this.view.childNodes];
    const raw = (child) => (child.dataset?.raw ?? child.textContent).length;
    const upTo = (count) => children.slice(0, count).reduce((sum, child) => sum + raw(child), 0);
    if (node === this.view) return upTo(within);
    const index = children.findIndex((child) => child.contains(node));
    return upTo(index) + (children[index] === node ? within : 0);
  }

  tag(number) {
    const chosen = this.selection();
    if (!chosen) return null;
    const source = this.editing ? this.area.value : this.text;
    const words = source.slice(chosen.start, chosen.end).trim();
    const { text, end, added } = withTag(source, chosen.start, chosen.end, number);
    if (this.editing) {
      this.area.value = text;
      this.area.setSelectionRange(end, end);
      this.grow();
      return { words, added, saved: Promise.resolve() };
    }
    document.getSelection().removeAllRanges();
    return { words, added, saved: this.put(text) };
  }

  clicked(event) {
    const chosen = document.getSelection();
    if (event.target.closest("button") || this.comparing || (chosen && !chosen.isCollapsed)) return;
    const caret = chosen?.anchorNode && this.view.contains(chosen.anchorNode) && this.text;
    this.begin(caret ? this.offset(chosen.anchorNode, chosen.anchorOffset) : this.text.length);
  }

  begin(caret) {
    this.editing = true;
    this.node.classList.add("editing");
    this.area.value = this.text;
    this.view.hidden = true;
    this.area.hidden = false;
    this.grow();
    this.area.focus({ preventScroll: true });
    this.area.setSelectionRange(caret, caret);
    this.node.scrollIntoView({ block: "nearest" });
  }

  grow() {
    this.area.style.height = "auto";
    this.area.style.height = `${this.area.scrollHeight + 2}px`;
  }

  keyed(event) {
    event.stopPropagation();
    if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      this.area.blur();
    } else if (event.altKey && event.code.startsWith("Digit")) {
      event.preventDefault();
      const number = Number(event.code.slice(5));
      if (number >= 1 && number <= this.objects) this.on.pick(number);
    }
  }

  // Leaving saves; a text that could not be kept stays open for editing.
  async leave() {
    if (!this.editing) return;
    const text = this.area.value;
    this.editing = false;
    this.node.classList.remove("editing");
    this.area.hidden = true;
    this.view.hidden = false;
    await this.put(text);
  }

  // Never fails: what could not be kept is told by `on.save` and stays open.
  async put(text) {
    if (text === this.text) { this.render(); return; }
    const old = this.text;
    this.text = text;
    this.render();
    try {
      await this.on.save(text);
    } catch {
      if (this.text !== text) return;
      this.text = old;
      this.begin(0);
      this.area.value = text;
      this.grow();
    }
  }
}

// Both texts as one: words that went struck out, words that came underlined. Long texts beyond the table's bound stand whole.
export function differences(old, now) {
  const split = (text) => text.match(/<LCL-\d+>|\s+|[^\s<]+|</g) || [];
  const a = split(old), b = split(now);
  if (a.length * b.length > 4e6) return [make("del", "", old), " ", make("ins", "", now)];
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  const found = [];
  const add = (tag, word) => {
    const last = found[found.length - 1];
    if (last && last.tag === tag) last.words.push(word);
    else found.push({ tag, words: [word] });
  };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add("span", a[i++]); j++; }
    else if (i < a.length && (j === b.length || table[i + 1][j] >= table[i][j + 1])) add("del", a[i++]);
    else add("ins", b[j++]);
  }
  return found.map(({ tag, words }) => make(tag, "", words.join("")));
}
