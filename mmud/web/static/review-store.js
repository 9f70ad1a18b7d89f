// Talking to the server, and holding what comes next before it is asked for.
const token = document.querySelector('meta[name="mmud-token"]').content;
const HELD = 14;

export class ServerError extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new ServerError("The server does not answer. Start it again; nothing that was confirmed is lost.", "");
  }
  const type = answer.headers.get("content-type") || "";
  const body = type.startsWith("application/json") ? await answer.json() : null;
  if (!answer.ok) {
    const error = body?.error;
    throw new ServerError(error ? `${error.code || ""} ${error.message}. ${error.remedy || ""}`.trim() : `${answer.status} ${answer.statusText}`, error?.code);
  }
  return body;
}

export const ask = (path, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return call(given.length ? `${path}?${new URLSearchParams(given)}` : path);
};

// Decisions go one after another, so that the journal has them in the order in which they were made.
let before = Promise.resolve();
export function decide(body) {
  const headers = { "content-type": "application/json", "x-mmud-token": token };
  const mine = before.then(() => call("api/decide", { method: "POST", headers, body: JSON.stringify(body) }));
  before = mine.catch(() => undefined);
  return mine;
}

export class Samples {
  constructor(query) {
    this.query = query;
    this.held = new Map();
  }

  forgetAll() {
    this.held.clear();
  }

  load(number) {
    let entry = this.held.get(number);
    this.held.delete(number);
    entry ??= this.fetch(number);
    this.held.set(number, entry);
    while (this.held.size > HELD) this.held.delete(this.held.keys().next().value);
    return entry;
  }

  async fetch(number) {
    const image = new Image();
    image.alt = "";
    image.decoding = "sync";
    image.src = `image/${number}`;
    const decoded = image.decode().then(() => null, () => this.trouble(number));
    try {
      const record = await ask(`api/sample/${number}`, this.query());
      const longest = Math.max(...record.size);
      const scale = Math.min(1, 1400 / longest);
      const plane = (mask) => (mask ? planeOf(mask, scale) : null);
      const layers = [{ name: "labels", planes: record.objects.map((object) => plane(object.mask) ?? frameOf(object.box, record.size, scale)) }];
      for (const layer of record.layers) layers.push({ name: layer.name, system: layer.system, planes: layer.masks.map(plane) });
      return { number, record, image, layers, trouble: await decoded };
    } catch (error) {
      this.held.delete(number);
      throw error;
    }
  }

  async trouble(number) {
    try {
      await call(`image/${number}`);
      return "The image cannot be shown.";
    } catch (error) {
      return error.message;
    }
  }
}
