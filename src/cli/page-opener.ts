/**
 * Opens a link in the browser of the desktop. Arguments of processes are public, and the link has a code, so the browser
 * gets a file that leads there.
 */

import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The program that opens a file; undefined: this session has no desktop, or is root's, whose browser nobody uses. */
export function browserOpener(env: NodeJS.ProcessEnv, uid: number): string | undefined {
  if (uid === 0 || !(env.DISPLAY || env.WAYLAND_DISPLAY)) return undefined;
  return (env.PATH ?? '')
    .split(':')
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, 'xdg-open'))
    .find(isExecutable);
}

/** @returns a function that removes the file */
export function openLink(opener: string, link: string): () => void {
  const folder = mkdtempSync(path.join(process.env.XDG_RUNTIME_DIR || tmpdir(), 'sidekey-page-'));
  const file = path.join(folder, 'open.html');
  writeFileSync(file, `<!doctype html><meta http-equiv="refresh" content="0; url=${link}">\n`, {
    mode: 0o600,
    flag: 'wx',
  });
  const child = spawn(opener, [file], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
  return () => rmSync(folder, { recursive: true, force: true });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
