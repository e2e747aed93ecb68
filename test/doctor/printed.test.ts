/**
 * Every command that the program prints, found in its sources: it exists with its flags, deletes nothing, and has no value
 * that nobody has told. The commands of findings are run in table.test.ts.
 */

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { COMMAND_NAMES } from '../../src/cli/called-as.ts';
import { ROOT, sidekey } from '../cli/support.ts';

interface Printed {
  readonly where: string;
  /** After `sidekey`, up to the end of the literal or to the next command. */
  readonly text: string;
}

/** `sidekey`, a command and what follows, in text or as the words of a list. */
const COMMAND = new RegExp(`(?<![\\w./@:=-])sidekey(?: |', ')((?:${COMMAND_NAMES.join('|')})\\b[^\`\\n]*)`, 'g');

/** Comments, and the descriptions of the commands themselves, are no advice. */
const isCode = (line: string) => !/^\s*(\/?\*|\/\/)/.test(line);

function printed(): Printed[] {
  return globSync('src/**/*.ts', { cwd: ROOT }).flatMap((file) => {
    if (file.startsWith('src/gen/')) return [];
    const lines = readFileSync(path.join(ROOT, file), 'utf8').split('\n');
    return lines.flatMap((line, at) =>
      isCode(line)
        ? [...line.matchAll(COMMAND)].flatMap(([, rest]) =>
            // Another command in the same text is one of its own.
            rest!.split(/(?<![\w./@:=-])sidekey /).map((text) => ({
              where: `${file}:${at + 1}`,
              text: text.replaceAll("', '", ' '),
            })),
          )
        : [],
    );
  });
}

/** The flags and subcommands by the path of a command, from the script for bash. */
let words: ReadonlyMap<string, ReadonlySet<string>>;

before(async () => {
  const { stdout } = await sidekey(['completion', 'bash']);
  const rows = stdout.matchAll(/^ {2}'([^']*)'\) known='([^']*)' ;;$/gm);
  words = new Map([...rows].map(([, at, list]) => [at!, new Set(list!.split(' '))]));
});

function pathOf(text: string): string {
  const [command, sub] = text.split(' ').map((word) => /^[a-z]*/.exec(word)![0]);
  return words.has(`${command} ${sub}`) ? `${command} ${sub}` : command!;
}

describe('the commands that the program prints', () => {
  const all = printed();

  it('are found', () => {
    assert.ok(all.length > 50, String(all.length));
    assert.ok(all.some(({ text }) => text.startsWith('entry create --spiffe-id')));
  });

  it('exist, with all their flags', () => {
    for (const { where, text } of all) {
      const at = pathOf(text);
      const known = words.get(at);
      assert.ok(known !== undefined, `${where}: ${text}`);
      for (const [flag] of text.matchAll(/(?<=[ '])--[a-z][a-z0-9-]+/g)) {
        // Flags of `serve` that a sentence names after another command.
        assert.ok(known.has(flag) || words.get('serve')!.has(flag), `${where}: ${at} has no ${flag}: ${text}`);
      }
    }
  });

  it('delete nothing, and so nothing that could be mended', () => {
    for (const { where, text } of all) {
      assert.doesNotMatch(text, /^(entry|bundle|alias) delete/, where);
      assert.doesNotMatch(text, /^ca taint|--new-root|--prune/, where);
    }
  });

  it('have selectors of a process that was looked at, or placeholders that entry create refuses', async () => {
    const selectors = all.flatMap(({ where, text }) =>
      [...text.matchAll(/(?:unix|docker|systemd):[a-z_]+:(\S+)/g)].map(([whole, value]) => ({ where, whole, value })),
    );
    for (const { where, whole, value } of selectors) {
      assert.match(value!, /^(\$\{|USER|PATH|UID)/, `${where}: ${whole}`);
    }
    for (const placeholder of ['unix:user:USER', 'unix:path:PATH']) {
      const args = ['entry', 'create', '--spiffe-id', 'spiffe://ilinux.io/web', '--selector', placeholder];
      const { status, stderr } = await sidekey([...args, '--admin-socket', '/nonexistent/admin.sock']);
      assert.equal(status, 2);
      assert.match(stderr, /Replace (USER|PATH) by the .* of the workload; sidekey explain --pid PID shows it/);
    }
  });
});
