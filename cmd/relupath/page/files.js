// The files that were dropped, as Go's package os sees them: read only, all in one folder, and
// nothing else. wasm_exec.js keeps this where it is there before.
"use strict";
(() => {
  const dropped = new Map(), open = new Map(), reader = new FileReaderSync();
  let last = 2, line = "";
  const fail = code => Object.assign(new Error(code), {code});
  const entry = path => dropped.get(path.replace(/^(\.?\/)+/, ""));
  const folder = path => /^(\.?\/?)*$/.test(path) || [...dropped.keys()].some(name => name.startsWith(path.replace(/^(\.?\/)+/, "") + "/"));
  const stat = (file, directory) => ({
    dev: 0, ino: 0, mode: directory ? 0o40555 : 0o100444, nlink: 1, uid: 0, gid: 0, rdev: 0, size: directory ? 0 : file.size,
    blksize: 4096, blocks: 0, atimeMs: 0, mtimeMs: 0, ctimeMs: 0, isDirectory: () => directory,
  });
  const statOf = (path, done) => {
    const file = entry(path);
    if (file) done(null, stat(file, false)); else if (folder(path)) done(null, stat(null, true)); else done(fail("ENOENT"));
  };
  const fs = {
    constants: {O_WRONLY: 1, O_RDWR: 2, O_CREAT: 64, O_TRUNC: 512, O_APPEND: 1024, O_EXCL: 128, O_DIRECTORY: 65536},
    // What Go says as it ends is kept for the page.
    writeSync(fd, bytes) {
      line = (line + new TextDecoder().decode(bytes)).slice(0, 4000);
      return bytes.length;
    },
    write(fd, bytes, offset, length, position, done) { done(null, fs.writeSync(fd, bytes.subarray(offset, offset + length))); },
    stat: statOf, lstat: statOf,
    open(path, flags, mode, done) {
      const file = entry(path);
      if (flags & 3) done(fail("EROFS"));
      else if (!file && !folder(path)) done(fail("ENOENT"));
      else { open.set(++last, {file, at: 0}); done(null, last); }
    },
    fstat(fd, done) { const f = open.get(fd); if (f) done(null, stat(f.file, !f.file)); else done(fail("EBADF")); },
    // Without a position it reads on from where it was.
    read(fd, bytes, offset, length, position, done) {
      const f = open.get(fd);
      if (!f || !f.file) return done(fail(f ? "EISDIR" : "EBADF"));
      try {
        const from = position ?? f.at, got = new Uint8Array(reader.readAsArrayBuffer(f.file.slice(from, from + length)));
        bytes.set(got, offset);
        f.at = from + got.length;
        done(null, got.length);
      } catch { done(fail("EIO")); } // it changed since it was dropped
    },
    readdir(path, done) { done(null, []); },
    readlink(path, done) { done(fail("EINVAL")); },
    close(fd, done) { open.delete(fd); done(null); },
  };
  for (const name of ["chmod", "chown", "fchmod", "fchown", "fsync", "ftruncate", "lchown", "link", "mkdir", "rename", "rmdir", "symlink", "truncate", "unlink", "utimes"])
    fs[name] = (...args) => args.at(-1)(fail("EROFS"));
  globalThis.fs = fs;
  globalThis.path = {resolve: (...parts) => parts.join("/")};
  globalThis.dropped = dropped;
  globalThis.lastWords = () => line;
})();
