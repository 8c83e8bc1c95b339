// The page: takes files, hands them to the worker, shows what it answers.
"use strict";
const status = document.getElementById("status"), table = document.getElementById("measures");
let worker, ready, seen = {};
function start() {
  worker = new Worker("worker.js");
  ready = new Promise(resolve => {
    worker.onmessage = ({data: {kind, text}}) => {
      if (kind === "ready") resolve();
      else if (kind === "measures") show(JSON.parse(text));
      else if (kind === "done") say("", "done");
      else if (kind === "ended") end();
      else say(text, kind);
    };
  });
  worker.onerror = end;
}
function end() {
  say("The program ended: the model may need more memory than a browser gives (4 GB). The command line has no such limit.", "error");
  worker.terminate();
  start();
}
function say(text, kind) {
  status.textContent = text;
  document.documentElement.dataset.state = kind;
}
function show(measures) {
  table.replaceChildren(...measures.map(({label, value}) => {
    const row = document.createElement("tr");
    row.append(Object.assign(document.createElement("th"), {scope: "row", textContent: label}), Object.assign(document.createElement("td"), {textContent: value}));
    return row;
  }));
}
async function take(files) {
  const models = files.filter(f => /\.onnx$/i.test(f.name)).map(f => f.name);
  table.replaceChildren();
  if (!models.length) return say("None of these is an ONNX file.", "error");
  say("starting", "stage");
  await ready;
  worker.postMessage({files: files.map(f => [f.name, f]), models});
}
addEventListener("dragover", e => e.preventDefault());
addEventListener("drop", e => { e.preventDefault(); take([...e.dataTransfer.files]); });
document.getElementById("files").addEventListener("change", e => take([...e.target.files]));
start();
