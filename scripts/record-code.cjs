/**
 * `RECORD=serve.cjs node --require record-code.cjs dist/sidekey.cjs …`: when the process ends, puts the code that V8 has by
 * then of that bundle beside it, where src/cli/launch.ts looks for it. What was there before is in it: V8 began with that.
 */

const { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const { crc32 } = require('node:zlib');

const scripts = new Map();
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options);
    scripts.set(options.filename, this);
  }
};

process.on('exit', () => {
  for (const [file, script] of scripts) {
    if (path.basename(file) !== process.env.RECORD) continue;
    const bytes = script.createCachedData();
    const crc = Buffer.alloc(4);
    crc.writeUInt32LE(crc32(bytes, crc32(readFileSync(file))));
    const draft = `${file}.code.${process.pid}`;
    const fd = openSync(draft, 'w', 0o644);
    writeSync(fd, Buffer.concat([bytes, crc]));
    // The CRC would tell; but a file that a power cut left empty would make each start slow until the next build.
    fsyncSync(fd);
    closeSync(fd);
    renameSync(draft, `${file}.code`);
  }
});
