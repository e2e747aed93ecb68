/** docs/troubleshooting.md, made of the cases. `scripts/node test/doctor/document.ts --write` writes it. */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Case } from './case.ts';
import { CASES } from './cases.ts';

export const DOCUMENT = path.resolve(import.meta.dirname, '../../docs/troubleshooting.md');

const HEAD = `# Troubleshooting

This page is generated from the cases of \`test/doctor/cases.ts\`. For each case a test causes the fault, finds it, repairs it with
exactly the command shown here, and checks that it is gone. If a command could accept a file that an attacker planted, or an identity
that a process only asked for, the repair is by hand ("do"). In place of \`systemctl\` and \`timedatectl\`, which change the
machine, the test has its own programs. Names in capitals, the ids 0 and \`/usr/bin/envoy\` are placeholders: doctor and explain
print the complete command. Find the symptom, or ask:

\`\`\`
sidekey doctor                                      # the server, its files, its host
sidekey doctor --envoy FILE                         # a bootstrap, compared with the entries
sidekey doctor --envoy-admin http://127.0.0.1:9901  # a running Envoy: its secrets, compared with those sent
sidekey explain --pid PID --spiffe-id ID            # why this process does not get this identity
sidekey explain d-3f2a90c1b7e4                      # the decision id in a log of Sidekey or Envoy
sidekey proxies --check                             # secrets that need attention
\`\`\`

Envoy's log has no message for a held name: its stream stays open without an answer, which is correct as long as there is
no entry. For a refusal, Envoy's log has a decision id. Values of a container's variables are never shown.
`;

const PARTS: readonly { readonly title: string; readonly by: Case['by']; readonly ask: string }[] = [
  { title: 'A workload gets no identity', by: 'explain', ask: 'sidekey explain --pid PID --spiffe-id ID' },
  { title: 'A workload lost its identity', by: 'check', ask: 'sidekey proxies --check' },
  { title: 'The server and its host', by: 'doctor', ask: 'sidekey doctor' },
  { title: 'The server has to be restarted', by: 'restart', ask: 'sidekey doctor' },
  { title: 'No server answers', by: 'silence', ask: 'sidekey doctor' },
  { title: "An Envoy's bootstrap", by: 'lint', ask: 'sidekey doctor --envoy FILE' },
  { title: 'An Envoy that runs', by: 'envoy', ask: 'sidekey doctor --envoy-admin URL' },
  { title: 'A command that warns or refuses', by: 'command', ask: 'the command' },
];

export function render(): string {
  const parts = PARTS.map(({ title, by, ask }) => {
    const cases = CASES.filter((one) => one.by === by).map(section);
    const where = by === 'command' ? 'The command itself says so.' : `Ask \`${ask}\`.`;
    return `## ${title}\n\n${where}\n\n${cases.join('\n')}`;
  });
  return `${HEAD}\n${parts.join('\n')}`;
}

function section(one: Case): string {
  return [
    `### ${one.symptom}`,
    '',
    ...(one.words === undefined ? [] : [`* Envoy: ${one.words}`]),
    ...(one.by === 'command' ? [`* command: \`${one.command}\``] : []),
    `* cause: ${one.cause}`,
    `* found: ${'rule' in one ? `\`[${one.rule}]\`` : `\`${plain(one.says)}\``}`,
    isByHand(one) ? `* do: ${one.fix}` : `* run: \`${one.fix}\``,
    ...(one.note === undefined ? [] : [`* note: ${one.note}`]),
    '',
  ].join('\n');
}

function isByHand(one: Case): boolean {
  return 'byHand' in one || one.by === 'envoy' || (one.by === 'lint' && one.server?.byHand !== undefined);
}

/** A pattern as readable text, the same for every user. */
function plain({ source }: RegExp): string {
  return source
    .replace(/unix:uid:\d{1,6}$/, 'unix:uid:0')
    .replaceAll(/\\n\s*(?:\{4\})?/g, ' … ')
    .replaceAll('\\', '')
    .trimEnd();
}

if (process.argv.includes('--write')) writeFileSync(DOCUMENT, render());
