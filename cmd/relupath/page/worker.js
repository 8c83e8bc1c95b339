// Runs the program, and gives it files: {files: [[name, File]...], models: [name...]}.
"use strict";
importScripts("files.js", "wasm_exec.js");
const go = new Go();
// It is compiled while it comes. A server need not know the type of the file.
const program = fetch("relupath.wasm").then(r => {
  if (!r.ok) throw new Error(`relupath.wasm: ${r.status} ${r.statusText}`);
  const known = r.headers.get("Content-Type") === "application/wasm";
  return WebAssembly.instantiateStreaming(known ? r : new Response(r.body, {headers: {"Content-Type": "application/wasm"}}), go.importObject);
});
program.then(({instance}) => go.run(instance)).then(
  () => postMessage({kind: "ended", of: JSON.stringify(lastWords())}),
  e => postMessage({kind: "ended", of: JSON.stringify(lastWords() || String(e))}));
onmessage = ({data}) => {
  dropped.clear();
  for (const [name, file] of data.files) dropped.set(name, file);
  relupath(...data.models);
};
