/** Runs the commands that findings give, as somebody pastes them. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { cleanEnvironment, ROOT } from '../cli/support.ts';
import { tempDir } from '../support/temp-dir.ts';

type Environment = Readonly<Record<string, string>>;

/** By a shell that finds `sidekey`, with no settings of it but these; `programs` is looked through first. */
function start(command: string, env: Environment, programs?: string) {
  const places = [...(programs === undefined ? [] : [programs]), path.join(ROOT, 'bin'), process.env.PATH];
  const child = spawn('/bin/sh', ['-c', command], {
    env: { ...cleanEnvironment(), ...env, PATH: places.join(':') },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: a server that it starts is not the shell.
    detached: true,
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  return { child, said, ended: once(child, 'close') as Promise<[number | null]> };
}

export async function run(command: string, env: Environment = {}, programs?: string): Promise<void> {
  const { said, ended } = start(command, env, programs);
  const [status] = await ended;
  assert.equal(status, 0, `${command}: ${said.err}`);
}

/** Runs a command that may fail. */
export async function runAny(command: string, env: Environment): Promise<{ status: number | null; err: string }> {
  const { said, ended } = start(command, env);
  const [status] = await ended;
  return { status, err: said.err };
}

/** Runs a command that ends in a server, until that serves; it is ended after the test. */
export async function runServing(t: TestContext, command: string, env: Environment = {}): Promise<void> {
  const { child, said, ended } = start(command, env);
  t.after(async () => {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
    await ended;
  });
  const serving = new Promise<'serving'>((resolve) => {
    child.stdout.on('data', () => said.out.includes('"serving"') && resolve('serving'));
  });
  assert.equal(await Promise.race([serving, ended]), 'serving', `${command}: ${said.err}`);
}

/** A program that a fix runs, without what it would do to this machine. */
export function standIn(t: TestContext, program: string): { readonly directory: string; wasRun(): boolean } {
  const directory = tempDir(t);
  writeFileSync(path.join(directory, program), `#!/bin/sh\ntouch "$0.run"\n`, { mode: 0o755 });
  return { directory, wasRun: () => existsSync(path.join(directory, `${program}.run`)) };
}

/** The command with names in place of what differs each time, as the document has it. @param places and their names */
export function plain(command: string, places: Readonly<Record<string, string>>): string {
  return Object.entries(places)
    .toSorted(([a], [b]) => b.length - a.length)
    .reduce((text, [place, name]) => text.replaceAll(place, name), command)
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ENTRY')
    .replaceAll(/unix:path:\S+/g, 'unix:path:/usr/bin/envoy')
    .replaceAll(/sha256:[0-9a-f]{64}/g, 'sha256:…')
    .replaceAll(/(?<=kill (-0 )?)\d+/g, 'PID')
    .replace(/(?<=usermod -aG )\S+ \S+/, 'GROUP USER')
    .replace(/cd \S+/, 'cd /')
    .replace(/(?<=PID.*sidekey serve ).*?(?= --max-connections-per-uid 2$|$)/, '…')
    .replace(/(?<=sed -i ')\d+/, 'LINE')
    .replace(/(?<=LINEs\|).*(retry_policy: )/, '… $1')
    .replace(/(?<=retry_policy: ).*(?=\|)/, '…');
}
