"use strict";
// Texts of documents become text nodes, never markup.
const find = (id) => document.getElementById(id);
const KEY = "rag_assets.key";
const CONTEXT_CHARS = 2000;
let about = {};

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

async function ask(path, body) {
  const headers = { accept: "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  const options = { headers };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem(0, "The server does not answer.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, answer.detail || `The server answered ${response.status}.`);
  return answer;
}

function showError(error) {
  find("status").textContent = "";
  find("error").textContent = error.message;
  if (error.status === 401) showEntrance();
}

function showEntrance() {
  find("search").hidden = true;
  find("entrance").hidden = false;
  find("key").focus();
}

async function enter() {
  // Asked even where the server wants no key: only then is it known.
  const answer = await ask("v1/about");
  about = answer;
  const { projects } = await ask("v1/projects");
  const chosen = new URLSearchParams(location.search).get("project");
  find("project").replaceChildren(new Option("All projects", ""), ...projects.map(({ name }) => new Option(name, name)));
  if (projects.some(({ name }) => name === chosen)) find("project").value = chosen;
  find("k").max = Math.min(100, about.max_k);
  if (about.ui_url) {
    find("ui").href = about.ui_url;
    find("ui").hidden = false;
  }
  find("entrance").hidden = true;
  find("search").hidden = false;
  find("error").textContent = "";
  find("query").focus();
}

function readSearch() {
  const value = (id) => find(id).value.trim();
  const body = { query: find("query").value, mode: document.querySelector("input[name=mode]:checked").value };
  body.k = Number(value("k")) || 10;
  body.context = Number(value("context")) || 0;
  if (value("project")) body.project = value("project");
  if (value("path_glob")) body.path_glob = value("path_glob");
  const types = value("file_type").split(/[\s,]+/).filter(Boolean);
  if (types.length) body.file_type = types;
  if (value("metadata")) {
    try {
      body.metadata = JSON.parse(value("metadata"));
    } catch {
      throw new Problem(422, 'Metadata is no JSON; write something like {"year": {"$gte": 2020}}.');
    }
  }
  return body;
}

async function search() {
  find("error").textContent = "";
  find("status").textContent = "Searching …";
  const body = readSearch();
  const shown = new URLSearchParams({ q: body.query, mode: body.mode });
  if (body.project) shown.set("project", body.project);
  history.replaceState(null, "", `?${shown}`);
  const answer = await ask("v1/search", body);
  const terms = termsOf(answer);
  find("hits").replaceChildren(...answer.hits.map((hit) => hitElement(hit, answer, terms)));
  find("status").textContent = summary(answer);
}

function summary(answer) {
  const parts = [`${answer.hits.length} ${answer.hits.length === 1 ? "hit" : "hits"}`];
  parts.push(`database ${Math.round(answer.took_ms)} ms, model ${Math.round(answer.embedding_ms)} ms`);
  if (answer.excluded.length) parts.push(`left out: ${answer.excluded.join(", ")}`);
  for (const [word, found] of Object.entries(answer.corrected)) parts.push(`no text has ${word}; searched for ${found.join(", ")}`);
  if (answer.degraded) parts.push(`${answer.degraded.missing} of ${answer.degraded.texts} texts cannot be found by meaning now`);
  return `${parts.join("; ")}.`;
}

function termsOf(answer) {
  const words = [answer.query, ...Object.values(answer.corrected).flat()].join(" ");
  return (words.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []).filter((word) => word.length > 1 || /\P{ASCII}/u.test(word));
}

// Endings differ, so a word is marked for a term that it shares its beginning with.
function matches(word, terms) {
  const lower = word.toLowerCase();
  return terms.some((term) => {
    if (lower === term) return true;
    const length = Math.min(term.length, lower.length);
    return length >= 4 && Math.abs(term.length - lower.length) <= 3 && lower.slice(0, length - 1) === term.slice(0, length - 1);
  });
}

function marked(text, terms) {
  const parts = [];
  for (const part of text.split(/([\p{L}\p{N}_]+)/u)) {
    if (part && matches(part, terms)) parts.push(element("mark", "", part));
    else if (part) parts.push(part);
  }
  return parts;
}

function hitElement(hit, answer, terms) {
  const place = [`${hit.project}/${hit.file_path}`];
  if (hit.page !== null) place.push(`page ${hit.page}${hit.recognised ? " (recognised)" : ""}`);
  if (hit.heading_path.length) place.push(hit.heading_path.join(" / "));
  place.push(`characters ${hit.char_start} to ${hit.char_end}`);
  const text = element("div", "text", ...marked(hit.context || (hit.header ? `${hit.header}\n${hit.text}` : hit.text), terms));
  const why = element("details", "why", element("summary", "", "Why it is here"));
  why.addEventListener("toggle", () => explain(hit, answer, why).catch(showError), { once: true });
  const read = element("button", "", "Read in the document");
  read.type = "button";
  read.addEventListener("click", () => readDocument(hit, terms).catch(showError));
  const copies = hit.copies.length ? element("p", "place", `Also in: ${hit.copies.map((copy) => `${copy.project}/${copy.file_path}`).join(", ")}`) : null;
  return element("li", "", element("h2", "", `${hit.rank}. ${hit.title || hit.file_path}`), element("p", "place", place.join(" · ")), text, copies, read, why);
}

async function explain(hit, answer, box) {
  const facts = [["Score", `${hit.score} (${answer.mode})`]];
  if (hit.ranks.vector) facts.push(["Vector search", `rank ${hit.ranks.vector}, score ${hit.parts.vector}`]);
  if (hit.ranks.text) facts.push(["Keyword search", `rank ${hit.ranks.text}, score ${hit.parts.text}`]);
  if (answer.mode === "hybrid" && !hit.ranks.vector) facts.push(["Vector search", "not among its best"]);
  if (answer.mode === "hybrid" && !hit.ranks.text) facts.push(["Keyword search", "not among its best"]);
  if (hit.parts.rerank !== undefined) facts.push(["Reranker", `score ${hit.parts.rerank}`]);
  facts.push(["Plan", `${answer.plan}; ${answer.considered} considered${answer.ef_search ? `, ef_search ${answer.ef_search}` : ""}`]);
  const found = await ask(`v1/chunks/${encodeURIComponent(hit.chunk_id)}/explain`);
  facts.push(["Source", `${found.source_uri || found.project}, version ${found.source_version || "unknown"}`]);
  if (found.space) facts.push(["Space", `${found.space.id} (${found.space.status}): ${found.space.model}`]);
  facts.push(["Chunk", `${found.token_count} tokens${found.current ? "" : "; the document has a newer text"}`]);
  const list = element("dl", "");
  for (const [name, value] of facts) list.append(element("dt", "", name), element("dd", "", value));
  for (const [name, run] of [["Text by run", found.document_run_id], ["Chunk by run", found.chunks_run_id]]) {
    if (!run) continue;
    let shown = run;
    if (about.ui_url) {
      shown = element("a", "", run);
      shown.href = `${about.ui_url.replace(/\/$/, "")}/runs/${encodeURIComponent(run)}`;
    }
    list.append(element("dt", "", name), element("dd", "", shown));
  }
  box.append(list);
}

async function readDocument(hit, terms) {
  const start = Math.max(0, hit.char_start - CONTEXT_CHARS);
  const range = new URLSearchParams({ char_start: start, char_end: hit.char_end + CONTEXT_CHARS });
  const found = await ask(`v1/documents/${encodeURIComponent(hit.document_id)}?${range}`);
  // Offsets count code points, as Python's do.
  const points = Array.from(found.text);
  const cut = (from, to) => points.slice(from, to).join("");
  const passage = element("strong", "", ...marked(cut(hit.char_start - start, hit.char_end - start), terms));
  find("document-title").textContent = `${found.project}/${found.file_path}`;
  find("document-text").replaceChildren(cut(0, hit.char_start - start), passage, cut(hit.char_end - start));
  find("document").showModal();
  passage.scrollIntoView({ block: "center" });
}

find("entrance").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, find("key").value.trim());
  find("key").value = "";
  enter().then(searchAddress).catch(showError);
});
find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search().catch(showError);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea, dialog")) {
    event.preventDefault();
    find("query").focus();
  }
});

async function searchAddress() {
  const wanted = new URLSearchParams(location.search);
  const mode = Array.from(document.querySelectorAll("input[name=mode]")).find(({ value }) => value === wanted.get("mode"));
  if (mode) mode.checked = true;
  if (wanted.get("q")) {
    find("query").value = wanted.get("q");
    await search();
  }
}

// Without a key there is nothing to ask first, unless the server lets everyone in.
enter().then(searchAddress).catch((error) => (error.status === 401 && !sessionStorage.getItem(KEY) ? showEntrance() : showError(error)));
