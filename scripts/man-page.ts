/** The manual page sidekey(1), from the program's own help. */

import { execFileSync } from 'node:child_process';
import path from 'node:path';

const sidekey = path.join(path.dirname(import.meta.dirname), 'bin/sidekey');

const FILES: readonly (readonly [file: string, about: string])[] = [
  ['/etc/sidekey/sidekey.yaml', 'settings of the service'],
  ['/etc/sidekey/entries.yaml', 'entries: which process gets which SPIFFE ID'],
  ['/run/sidekey/agent.sock', 'the pipe: SDS and the SPIFFE Workload API'],
  ['/var/lib/sidekey', 'keys, database and admin socket'],
  ['/usr/share/doc/sidekey', 'the documents; begin with README.md and docs/host.md'],
];

const STATUSES: readonly (readonly [status: string, about: string])[] = [
  ['0', 'done'],
  ['1', 'refused or failed; stderr has the reason'],
  ['2', 'used wrongly'],
];

/** @param version of the program @param date of its sources, `YYYY-MM-DD` */
export function manPage(version: string, date: string): string {
  const whole = helpOf([]);
  const about = whole.split('\n\n')[1]!.replaceAll('\n', ' ').trim();
  const sections = commandsIn(whole).flatMap((name) => withSubcommands([name]));
  const list = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([term, text]) => `.TP\n.B ${escaped(term)}\n${escaped(text)}`).join('\n');
  return `.TH SIDEKEY 1 ${date} "Sidekey ${version}" "User Commands"
.SH NAME
sidekey \\- SPIFFE identities for the Envoys on a host
.SH SYNOPSIS
.B sidekey
.I command
[\\fIoptions\\fR]
.SH DESCRIPTION
${escaped(about)}
.SH COMMANDS
${sections.join('\n')}
.SH EXIT STATUS
${list(STATUSES)}
.SH FILES
${list(FILES)}
`;
}

/** A section for a command, and one for each of its subcommands. */
function withSubcommands(words: readonly string[]): string[] {
  const help = helpOf(words);
  const section = `.SS sidekey ${escaped(words.join(' '))}\n.nf\n${escaped(help.trimEnd())}\n.fi`;
  return [section, ...commandsIn(help).flatMap((name) => withSubcommands([...words, name]))];
}

function helpOf(words: readonly string[]): string {
  return execFileSync(sidekey, [...words, '--help'], { encoding: 'utf8' }).replaceAll(sidekey, 'sidekey');
}

function commandsIn(help: string): string[] {
  const list = /^Commands:\n((?: .*\n?)+)/m.exec(help)?.[1] ?? '';
  return [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name]) => name!).filter((name) => name !== 'help');
}

/** Text as roff takes it literally. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&');
}
