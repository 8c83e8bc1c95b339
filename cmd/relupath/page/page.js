// The page: takes files, hands them to the worker, and shows what it answers.
"use strict";
const root = document.documentElement, at = id => document.getElementById(id);
var worker; // of the window, for tests that end it
let ready, terms = [], reports = new Map(), asked = [];

const make = (tag, properties = {}, ...inside) => {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...inside);
  return e;
};

// breakable is a name that may be broken where it has a sign.
const breakable = name => name.split(/(?<=[_./-])|(?=\()/).flatMap((part, k) => k ? [make("wbr"), part] : [part]);

function say(text, state) {
  at("status").textContent = text;
  if (state) root.dataset.state = state;
}

function start() {
  worker = new Worker("worker.js");
  ready = new Promise(resolve => {
    worker.onmessage = ({data: {kind, of}}) => {
      const what = of && JSON.parse(of);
      if (kind === "ready") { terms = what; resolve(); }
      else if (kind === "stage") progress(what);
      else if (kind === "report") { reports.set(what.path, what); show(); }
      else if (kind === "trouble") { trouble(what.path, what.reason); }
      else if (kind === "done") finish();
      else if (kind === "ended") end(what);
    };
  });
  worker.onerror = e => end(e.message);
}

// end begins anew after a program that ended, which it does where memory does.
function end(why) {
  worker.terminate();
  const memory = /out of memory|allocat|memory access|grow/i.test(why || "");
  trouble(asked.find(name => !reports.get(name)?.whole) || "", memory
    ? "the model needs more memory than the 4 GB that a browser gives a page: the command line has no such limit"
    : "the program ended" + (why ? ": " + why.split("\n")[0] : ""));
  finish();
  start();
}

function trouble(path, reason) {
  at("troubles").append(make("p", {className: "trouble"}, path && make("b", {textContent: path + " "}), reason));
}

function finish() {
  at("progress").hidden = true;
  say("", "done");
}

function progress({stage, done, all}) {
  say(stage);
  const bar = at("progress");
  bar.hidden = false;
  if (all) { bar.max = all; bar.value = done; } else bar.removeAttribute("value");
}

const number = new Intl.NumberFormat("en", {maximumSignificantDigits: 6}), whole = new Intl.NumberFormat("en");
const shown = x => x === 0 || Math.abs(x) >= 1e-4 && Math.abs(x) < 1e9 ? number.format(x) : power(Math.floor(Math.log10(Math.abs(x))), x);
const power = (e, x) => `${number.format(x / 10 ** e)} × 10${[...String(e)].map(c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || "⁻").join("")}`;

// cell shows a measure; one beyond float64 by its logarithm.
function cell(m) {
  const td = make("td", {className: "n"});
  if (!m) return td;
  if (m.value !== null) { td.textContent = shown(m.value); td.title = td.dataset.value = m.value; }
  else if (m.log10 !== null) { const e = Math.floor(m.log10); td.textContent = power(e, 1).replace(/^1/, number.format(10 ** (m.log10 - e))); td.title = "log10 " + m.log10; }
  else { td.textContent = "undefined"; td.title = m.reason || "a weight is NaN or infinite, or a logarithm of zero is taken"; }
  return td;
}

// change is B's value against A's.
function change(a, b) {
  const td = make("td", {className: "n"});
  if (!a || !b || a.log10 === null && a.value === null || b.log10 === null && b.value === null) return td;
  if (a.value !== null && b.value !== null) {
    const d = b.value - a.value;
    td.textContent = d === 0 ? "0%" : a.value === 0 ? "" : (d / Math.abs(a.value)).toLocaleString("en", {style: "percent", maximumSignificantDigits: 3});
    td.dataset.value = a.value === 0 ? "" : d / Math.abs(a.value);
  } else if (a.log10 !== null && b.log10 !== null) td.textContent = "× 10^" + number.format(b.log10 - a.log10);
  return td;
}

function table(title, heads, rows) {
  const head = make("tr", {}, ...heads.map((h, k) => make("th", {scope: "col", className: k && h !== "op" ? "n" : ""}, ...breakable(h))));
  const box = make("div", {className: "scroll", tabIndex: 0}, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  return make("section", {}, make("h2", {textContent: title}), box);
}

const rowOf = (name, ...cells) => make("tr", {}, make("th", {scope: "row", className: "c"}, ...breakable(name)), ...cells);
const count = n => make("td", {className: "n", textContent: whole.format(n)});

function show() {
  const all = asked.map(name => reports.get(name)).filter(Boolean);
  const two = all.length === 2, out = at("reports");
  out.replaceChildren();
  if (!all.length) return;
  const names = all.map(r => r.path);
  const facts = [["parameters", "parameters"], ["hidden units", "hidden_units"], ["depth", "depth"]].map(([says, key]) => rowOf(says, ...all.map(r => count(r[key]))));
  facts.push(rowOf("paths", ...all.map(r => make("td", {className: "n", textContent: r.paths && (r.paths.length < 16 ? whole.format(BigInt(r.paths)) : shown(Number(r.paths))), title: r.paths}))));
  facts.push(rowOf("producer", ...all.map(r => make("td", {className: "w", textContent: `${r.producer || "unknown"} (IR ${r.ir_version}, opset ${r.opset})`}))));
  out.append(table(all.length > 1 ? `${all.length} models` : names[0], ["", ...names], facts));
  // Measures of single outputs are many and named as each model likes.
  const labels = [...new Set(all.flatMap(r => r.measures.filter(m => !m.output).map(m => m.label)))];
  const find = (r, label) => r.measures.find(m => m.label === label);
  out.append(table("Measures", ["measure", ...names, ...two ? ["change"] : []], labels.map(l => rowOf(l, ...all.map(r => cell(find(r, l))), ...two ? [change(find(all[0], l), find(all[1], l))] : []))));
  for (const r of all) {
    const columns = [...new Set(r.layers.flatMap(l => l.measures.map(m => m.label)))];
    out.append(table(all.length > 1 ? "Layers of " + r.path : "Layers", ["layer", "op", "inputs", "outputs", ...columns],
      r.layers.map(l => rowOf(l.name, make("td", {textContent: l.op}), count(l.inputs), count(l.outputs), ...columns.map(c => cell(l.measures.find(m => m.label === c)))))));
  }
  for (const r of all) out.append(...r.warnings.map(w => make("p", {className: "note", textContent: `${r.path}: ${w}`})));
  const used = new Set(all.flatMap(r => [...r.measures, ...r.layers.flatMap(l => l.measures)].map(m => m.name)));
  out.append(make("section", {}, make("h2", {textContent: "Definitions"}), make("dl", {}, ...terms.filter(t => used.has(t.Name)).map(t => make("div", {},
    make("dt", {className: "c", textContent: t.Name}), make("dd", {textContent: t.Says + (t.Invariant ? " Rescaling does not change it." : " Rescaling changes it.")}),
    make("dd", {className: "f", textContent: t.Formula}), make("dd", {className: "source", textContent: t.Source}))))));
}

// take measures the models among the files; the others may be their data.
async function take(files) {
  asked = files.filter(f => /\.onnx$/i.test(f.name)).map(f => f.name);
  if (!asked.length) asked = files.filter(f => files.length === 1).map(f => f.name);
  reports = new Map();
  at("reports").replaceChildren();
  at("troubles").replaceChildren();
  if (!asked.length) { trouble("", "none of these files ends in .onnx"); return finish(); }
  say("starting", "work");
  await ready;
  worker.postMessage({files: files.map(f => [f.name, f]), models: asked});
}

// named measures the models of ?model=a.onnx&model=b.onnx, which lie below the page.
async function named() {
  const files = [];
  for (const path of new URLSearchParams(location.search).getAll("model")) {
    const url = new URL(path, location.href);
    if (url.origin !== location.origin) { trouble(path, "only models of the page's own server are read"); continue; }
    say("loading " + path, "work");
    for (const part of [url.pathname, url.pathname + ".data"]) {
      const got = await fetch(part).catch(e => ({ok: false, status: String(e)}));
      if (got.ok) files.push(new File([await got.blob()], decodeURIComponent(part.split("/").pop())));
      else if (part === url.pathname) trouble(path, "the server has no such file: " + got.status);
    }
  }
  if (files.length) take(files); else if (location.search) finish();
}

addEventListener("dragover", e => { e.preventDefault(); root.classList.add("over"); });
addEventListener("dragleave", () => root.classList.remove("over"));
addEventListener("drop", e => { e.preventDefault(); root.classList.remove("over"); take([...e.dataTransfer.files]); });
at("files").addEventListener("change", e => take([...e.target.files]));
start();
named();
