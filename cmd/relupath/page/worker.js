// Runs the program, and gives it files: {files: [[name, File]...], models: [name...]}.
"use strict";
importScripts("files.js", "wasm_exec.js");
const go = new Go();
// A server need not know the type of the file.
const program = fetch("relupath.wasm").then(r => {
  if (!r.ok) throw new Error(`relupath.wasm: ${r.status} ${r.statusText}`);
  return r.arrayBuffer();
}).then(bytes => WebAssembly.instantiate(bytes, go.importObject));
program.then(({instance}) => go.run(instance)).then(
  () => postMessage({kind: "ended", of: JSON.stringify(lastWords())}),
  e => postMessage({kind: "ended", of: JSON.stringify(lastWords() || String(e))}));
onmessage = ({data}) => {
  dropped.clear();
  for (const [name, file] of data.files) dropped.set(name, file);
  relupath(...data.models);
};
