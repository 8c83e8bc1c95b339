// The page: takes files, hands them to the worker, and shows what it answers.
"use strict";
const root = document.documentElement, at = id => document.getElementById(id);
var worker; // of the window, for tests that end it
let ready, terms = [], captions, reports = new Map(), asked = [];

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
      if (kind === "ready") { captions = what; terms = what.terms; resolve(); }
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
  else { td.textContent = "undefined"; td.title = td.dataset.why = m.reason; }
  td.dataset.key = m.value === 0 ? -1e9 : m.log10 ?? -1e12;
  return td;
}

// same says that two numbers differ by what single precision rounds.
const same = (a, b) => Math.abs(b.value - a.value) <= 1e-6 * Math.max(Math.abs(a.value), Math.abs(b.value));

// change is B's value against A's.
function change(a, b) {
  const td = make("td", {className: "n"});
  if (!a || !b || a.log10 === null && a.value === null || b.log10 === null && b.value === null) return td;
  if (a.value !== null && b.value !== null) {
    const d = b.value - a.value;
    td.textContent = same(a, b) ? "0%" : a.value === 0 ? "" : (d / Math.abs(a.value)).toLocaleString("en", {style: "percent", maximumSignificantDigits: 3});
    td.dataset.value = a.value === 0 ? "" : d / Math.abs(a.value);
  } else if (a.log10 !== null && b.log10 !== null) td.textContent = "× 10^" + number.format(b.log10 - a.log10);
  return td;
}

// sortable makes a column's head a button that sorts the rows by its numbers, or words.
function sortable(head) {
  const button = head.appendChild(make("button", {type: "button"}));
  button.setAttribute("aria-label", "sort by " + head.textContent);
  button.onclick = () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0], key = row => { const c = row.cells[head.cellIndex]; return c.dataset.key ? Number(c.dataset.key) : c.textContent; };
    const before = (a, b) => typeof key(a) === "number" && typeof key(b) === "number" ? key(a) - key(b) : String(key(a)).localeCompare(String(key(b)));
    body.append(...[...body.rows].sort((a, b) => down ? before(b, a) : before(a, b)));
  };
}

const words = ["op", "unit", "invariant", "what it is", "from", "to", "layers"];

// grid is a table in a box of its own, under which stands why measures are undefined.
function grid(title, heads, rows) {
  const head = make("tr", {}, ...heads.map((h, k) => make("th", {scope: "col", className: k && !words.includes(h) ? "n" : ""}, ...breakable(h))));
  const box = make("div", {className: "scroll", tabIndex: 0}, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  if (rows.length > 1) for (const h of head.cells) if (h.textContent) sortable(h);
  const why = new Map();
  for (const row of rows) for (const c of row.cells) if (c.dataset.why) why.set(c.dataset.why, [...why.get(c.dataset.why) || [], row.cells[0].textContent]);
  return [box, ...[...why].map(([reason, of]) => make("p", {className: "note", textContent: `Undefined (${[...new Set(of)].join(", ")}): ${reason}.`}))];
}

const section = (title, ...inside) => make("section", {}, make("h2", {textContent: title}), ...inside);
const table = (title, heads, rows) => section(title, ...grid(title, heads, rows));
const folded = (title, heads, rows) => make("details", {}, make("summary", {textContent: title}), ...grid(title, heads, rows));
const rowOf = (name, ...cells) => make("tr", {}, make("th", {scope: "row", className: "c"}, ...breakable(name)), ...cells);
const text = (t, way = "w") => make("td", {className: way, textContent: t});
const count = n => { const td = make("td", {className: "n", textContent: whole.format(n)}); td.dataset.key = n; return td; };
const big = n => make("td", {className: "n", textContent: n && (n.length < 16 ? whole.format(BigInt(n)) : shown(Number(n))), title: n});
const log = m => make("td", {className: "n", textContent: m.log10 === null || /log|share/.test(unitOf(m)) ? "" : m.log10.toFixed(3)});
const termOf = m => terms.find(t => t.Name === m.name) || {};
const unitOf = m => termOf(m).Unit || "";
const find = (of, label) => of.measures.find(m => m.label === label);

// picture is an empty drawing, and what draws on it.
function picture(title, wide, high) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const draw = (tag, properties, says, into = svg) => {
    const e = into.appendChild(document.createElementNS(svg.namespaceURI, tag));
    for (const [k, v] of Object.entries(properties)) e.setAttribute(k, v);
    if (says) e.textContent = says;
    return e;
  };
  // hit tells something of a part to those who point at it.
  const hit = (x, y, width, height, says) => draw("title", {}, says, draw("rect", {x, y, width, height, class: "hit"}));
  return {svg, draw, hit};
}

const short = (name, most) => name.length > most ? name.slice(0, most / 2) + "…" + name.slice(1 - most / 2) : name;

// rows is a plot with a named row for each of some things, on an axis from low to high, of logarithms or not.
function rows(title, names, row, low, high, logs) {
  const most = 30, longest = Math.min(most, Math.max(...names.map(n => n.length)));
  const left = 10 + 4.7 * longest, wide = left + 155, x = v => left + (wide - left - 8) * (v - low) / (high - low);
  const p = picture(title, wide, names.length * row + 16);
  for (const v of [low, high]) {
    p.draw("line", {x1: x(v), x2: x(v), y1: 0, y2: names.length * row, class: "axis"});
    p.draw("text", {x: x(v), y: names.length * row + 11, "text-anchor": v === low ? "start" : "end"}, logs ? power(v, 10 ** Math.min(v, 300)).replace(/.*× /, "") : shown(Number(v.toPrecision(3))));
  }
  names.forEach((n, k) => p.draw("text", {x: left - 4, y: (k + 1) * row - 3.5, "text-anchor": "end"}, short(n, most)));
  return {...p, x, left, wide};
}

const framed = (title, svg) => make("figure", {}, make("h3", {textContent: title}), svg);

// decades says whether numbers want a logarithmic axis: none is negative, and they are far apart.
const decades = all => { const l = all.filter(x => x !== 0).map(Math.log10); return l.length && !l.some(isNaN) && Math.max(...l) - Math.min(...l) > 2; };

// bars is a small plot: of numbers within two decades bars, else dots on a scale of decades.
function bars(title, names, ms) {
  const given = ms.map((m, k) => ({name: names[k], m})).filter(({m}) => m && (m.value !== null || m.log10 !== null));
  const dots = given.every(({m}) => m.log10 !== null || m.value === 0) && (given.some(({m}) => m.value === null) || decades(given.map(({m}) => m.value)));
  const at = m => dots ? m.log10 : m.value, all = given.map(({m}) => at(m)).filter(x => x !== null);
  if (given.length < 2 || new Set(all).size < 2) return [];
  const low = dots ? Math.floor(Math.min(...all) - 0.3) : Math.min(0, ...all), high = dots ? Math.max(low + 1, Math.ceil(Math.max(...all))) : Math.max(0, ...all);
  const {svg, draw, hit, x, left, wide} = rows(title, given.map(({name}) => name), 13, low, high, dots);
  given.forEach(({name, m}, k) => {
    const y = k * 13;
    if (at(m) === null);
    else if (dots) { draw("line", {x1: left, x2: x(at(m)), y1: y + 6, y2: y + 6, class: "axis"}); draw("circle", {cx: x(at(m)), cy: y + 6, r: 3}); }
    else draw("rect", {x: Math.min(x(0), x(at(m))), y: y + 1.5, width: Math.abs(x(at(m)) - x(0)), height: 9, class: "bar"});
    hit(0, y, wide, 13, `${name}: ${cell(m).textContent}`);
  });
  return [framed(title, svg)];
}

// histograms shows how the norms of each layer's units are distributed, on one axis.
function histograms(units) {
  const every = units.flatMap(u => u.norms), logs = decades(every), at = v => logs ? Math.log10(v) : v, all = every.map(at).filter(isFinite);
  let low = Infinity, high = -Infinity;
  for (const v of all) { low = Math.min(low, v); high = Math.max(high, v); }
  if (!(low < high)) return [];
  const pad = 0.04 * (high - low), bins = 40, row = 26, plots = [], most = 16;
  if (logs) { low = Math.floor(low); high = Math.ceil(high); } else { low -= pad; high += pad; }
  for (let from = 0; from < units.length; from += most) {
    const of = units.slice(from, from + most), title = "2-norm of a unit's incoming weights";
    const {svg, draw, hit, x, left, wide} = rows(title, of.map(u => u.layer), row, low, high, logs);
    of.forEach(({layer, norms}, k) => {
      const n = Array(bins).fill(0), base = (k + 1) * row;
      for (const v of norms.map(at)) if (isFinite(v)) n[Math.min(bins - 1, Math.max(0, Math.floor(bins * (v - low) / (high - low))))]++;
      const top = Math.max(1, ...n), b = i => x(low + i * (high - low) / bins);
      draw("path", {d: `M${left} ${base}` + n.map((c, i) => `H${b(i)}V${base - c / top * row * 0.85}H${b(i + 1)}`).join("") + `V${base}Z`, class: "bar"});
      const sorted = norms.toSorted((a, c) => a - c);
      hit(0, k * row, wide, row, !sorted.length ? layer : `${layer}\nunits: ${sorted.length}, from ${shown(sorted[0])} to ${shown(sorted.at(-1))}, median ${shown(sorted[(sorted.length - 1) >> 1])}`);
    });
    plots.push(framed(title, svg));
  }
  return plots;
}

const dims = shape => shape.map(d => d < 0 ? "?" : d).join("x") || "scalar";

// drawing shows the layers from top to bottom: each below the last that it takes values from.
function drawing(boxes) {
  const wide = 168, high = 44, at = [], lanes = [];
  for (const {in: from} of boxes) {
    const rank = Math.max(0, ...(from || []).map(j => at[j].rank + 1));
    lanes[rank] = (lanes[rank] || 0) + 1;
    at.push({rank, x: 2 + (lanes[rank] - 1) * wide, y: 2 + rank * high});
  }
  const across = Math.max(...lanes) * wide + 60;
  const {svg, draw, hit} = picture("Network", across, lanes.length * high);
  svg.style.width = across * 1.25 + "px";
  boxes.forEach(({in: from}, i) => (from || []).forEach(j => {
    const a = at[j], b = at[i], out = Math.min(12 + 4 * (b.rank - a.rank), 54), right = Math.max(a.x, b.x) + 150 + out;
    draw("path", {class: "edge", d: b.rank === a.rank + 1
      ? `M${a.x + 75} ${a.y + 28}C${a.x + 75} ${b.y - 8} ${b.x + 75} ${a.y + 36} ${b.x + 75} ${b.y}`
      : `M${a.x + 150} ${a.y + 14}Q${right} ${a.y + 14} ${right} ${(a.y + b.y) / 2 + 14}T${b.x + 150} ${b.y + 14}`});
  }));
  boxes.forEach(({label, detail, shape, style}, i) => {
    const {x, y} = at[i], says = `${detail} → ${dims(shape || [])}`;
    draw("rect", {x, y, width: 150, height: 28, class: "box s" + style});
    draw("text", {x: x + 75, y: y + 11, "text-anchor": "middle"}, short(label, 28));
    draw("text", {x: x + 75, y: y + 22, "text-anchor": "middle", class: "d"}, short(says, 34));
    hit(x, y, 150, 28, `${label}\n${says}`);
  });
  const box = make("div", {className: "scroll drawing", tabIndex: 0}, svg);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Network");
  return box;
}

function figures(title, says, plots) {
  return plots.length ? [section(title, make("p", {className: "note", textContent: says}), make("div", {className: "figures"}, ...plots))] : [];
}

const drawn = ["frobenius", "group_norm(1,inf)", "group_norm(2,inf)"];

// lead is the result in a sentence.
function lead(all) {
  const of = r => ["path_norm(2)", "frobenius"].map(l => find(r, l)).find(m => m && !m.reason), m = of(all[0]), two = all.length === 2 && of(all[1]);
  if (all.length === 1) return `${whole.format(all[0].parameters)} parameters in a network of depth ${all[0].depth}` + (m ? `; ${m.label} is ${cell(m).textContent}` : "") +
    (all[0].segments.length ? `; ${all[0].segments.length} segments have path norms of their own` : "") + ".";
  return `${all.length} models` + (m && two ? `; ${m.label} goes from ${cell(m).textContent} to ${cell(two).textContent}` : "") + ".";
}

function layers(r, alone) {
  const columns = [...new Set(r.layers.flatMap(l => l.measures.map(m => m.label)))];
  const rows = r.layers.map(l => rowOf(l.name, make("td", {textContent: l.op}), count(l.inputs), count(l.outputs), ...columns.map(c => cell(find(l, c)))));
  columns.forEach((c, k) => {
    const top = Math.max(...r.layers.map(l => find(l, c)?.value ?? 0));
    if (top > 0 && rows.length > 1) for (const [i, l] of r.layers.entries()) {
      const m = find(l, c);
      if (m && m.value !== null) { rows[i].cells[k + 4].classList.add("b"); rows[i].cells[k + 4].style.setProperty("--s", m.value / top); }
    }
  });
  const of = alone ? "" : " of " + r.path, names = r.layers.map(l => l.name);
  return [table("Layers" + of, ["layer", "op", "inputs", "outputs", ...columns], rows), ...figures("Norms of the layers" + of,
    "Where they are far apart, a few layers decide the products over layers. A logarithmic axis has dots.",
    drawn.flatMap(label => bars(label, names, r.layers.map(l => find(l, label)))))];
}

function segments(r, alone) {
  if (!r.segments.length) return [];
  const columns = r.segments[0].measures.map(m => m.label), first = of => (of[0] || "") + (of.length > 1 ? ` +${of.length - 1}` : "");
  return [table("Segments" + (alone ? "" : " of " + r.path), ["segment", "from", "to", "layers", "paths", ...columns],
    r.segments.map((s, k) => rowOf(String(k + 1), text(first(s.starts), "c"), text(first(s.ends), "c"), text(first(s.layers), "c"), big(s.paths), ...columns.map(c => cell(find(s, c))))))];
}

function show() {
  const all = asked.map(name => reports.get(name)).filter(Boolean);
  const two = all.length === 2, alone = all.length === 1, out = at("reports");
  out.replaceChildren();
  if (!all.length) return;
  const names = all.map(r => r.path);
  const row = (says, cellOf) => rowOf(says, ...all.map(cellOf));
  const right = t => text(t, "r"), ports = (r, what) => right(r.ports.filter(p => p.what === what).map(p => `${p.name} ${p.type} ${dims(p.shape)}`).join(", "));
  const left = r => [...new Set(r.left_out)].map(o => { const n = r.left_out.filter(x => x === o).length; return n > 1 ? `${o} (${n})` : o; }).join(", ");
  const facts = [row("producer", r => right(`${r.producer || "unknown"} (IR ${r.ir_version}, opset ${r.opset})`)), row("inputs", r => ports(r, "input")), row("outputs", r => ports(r, "output")),
    row("parameters", r => count(r.parameters)), row("hidden units", r => count(r.hidden_units)), row("depth", r => count(r.depth))];
  if (all.some(r => r.paths)) facts.push(row("paths", r => big(r.paths)));
  if (all.some(r => r.left_out.length)) facts.push(row("left out", r => right(left(r))));
  if (all.some(r => r.apart)) facts.push(row("segments", r => right(r.apart ? `${r.segments.length}, with path norms of their own: ${r.apart}` : "1")));
  out.append(section(alone ? names[0] : `${all.length} models`, make("p", {className: "lead", textContent: lead(all)}), ...grid("Facts", ["fact", ...names], facts)));
  // Measures of single outputs are many and named as each model likes.
  const of = single => [...new Set(all.flatMap(r => r.measures.filter(m => single === (m.name === "path_norm_output") && (!single || m.output)).map(m => m.label)))];
  // What has a value comes first.
  const measures = labels => labels.toSorted((a, b) => !all.some(r => find(r, a)?.reason === undefined) - !all.some(r => find(r, b)?.reason === undefined)).map(l => {
    const ms = all.map(r => find(r, l)), m = ms.find(Boolean);
    return rowOf(l, ...ms.map(cell), ...two ? [change(...ms)] : [], ...alone ? [log(m), text(unitOf(m), ""), text(m.invariant ? "yes" : "no", ""), text(termOf(m).Says)] : []);
  });
  const heads = ["measure", ...alone ? ["value", "log10", "unit", "invariant", "what it is"] : names, ...two ? ["change"] : []];
  const single = of(true);
  out.append(section("Measures", ...grid("Measures", heads, measures(of(false))), ...single.length ? [folded(`${single.length} measures of single outputs`, heads, measures(single))] : []));
  if (two) {
    const moved = of(false).map(l => [l, change(find(all[0], l), find(all[1], l)).dataset.value]).filter(([, v]) => v && Math.abs(v) > 1e-6).map(([l, v]) => [l, {value: 100 * v, log10: v > 0 ? Math.log10(100 * v) : null}]);
    out.append(...figures("Changes in per cent", "Measures that change. A logarithmic axis has dots.", bars("change (%)", moved.map(([l]) => l), moved.map(([, m]) => m))));
  }
  for (const r of all) {
    const of = alone ? "" : " of " + r.path;
    out.append(...segments(r, alone), ...layers(r, alone));
    if (r.units) out.append(...figures("Incoming norms of the units" + of, captions.units, histograms(r.units)));
    if (r.boxes) out.append(section("Network" + of, make("p", {className: "note", textContent: captions.drawing}), drawing(r.boxes)));
  }
  for (const r of all) out.append(...r.warnings.map(w => make("p", {className: "note", textContent: `${r.path}: ${w}`})));
  const used = new Set(all.flatMap(r => [...r.measures, ...r.layers.flatMap(l => l.measures), ...r.segments.flatMap(s => s.measures)].map(m => m.name)));
  out.append(section("Definitions", make("dl", {}, ...terms.filter(t => used.has(t.Name)).map(t => make("div", {},
    make("dt", {className: "c", textContent: t.Name}), make("dd", {textContent: t.Says + (t.Invariant ? " Rescaling does not change it." : " Rescaling changes it.")}),
    t.Math ? make("dd", {className: "math", tabIndex: 0, innerHTML: t.Math}) : make("dd", {className: "f", textContent: t.Formula}), make("dd", {className: "source", textContent: t.Source}))))));
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
    const got = await fetch(url.pathname).catch(e => ({ok: false, status: String(e)}));
    if (!got.ok) { trouble(path, "the server has no such file: " + got.status); continue; }
    const name = decodeURIComponent(url.pathname.split("/").pop()), model = await got.blob();
    files.push(new File([model], name));
    if (!(await model.text()).includes(name + ".data")) continue; // it names its data file
    const data = await fetch(url.pathname + ".data").catch(() => ({}));
    if (data.ok) files.push(new File([await data.blob()], name + ".data"));
  }
  if (files.length) take(files); else if (location.search) finish();
}

addEventListener("dragover", e => { e.preventDefault(); root.classList.add("over"); });
addEventListener("dragleave", () => root.classList.remove("over"));
addEventListener("drop", e => { e.preventDefault(); root.classList.remove("over"); take([...e.dataTransfer.files]); });
at("files").addEventListener("change", e => take([...e.target.files]));
start();
named();
