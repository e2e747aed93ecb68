/** docs/troubleshooting.md, made of the cases. `scripts/node test/doctor/document.ts --write` writes it. */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Case } from './case.ts';
import { CASES } from './cases.ts';

export const DOCUMENT = path.resolve(import.meta.dirname, '../../docs/troubleshooting.md');

const HEAD = `# Troubleshooting

Each of these is broken for real by a test, found, mended by the very command that stands here, and seen to be well
again (where a command could adopt what somebody has planted or asked for, by hand: "do"): this page is made of the cases of \`test/doctor/cases.ts\`. In place of \`systemctl\` and \`timedatectl\`, which change the
machine, the test has programs of its own. Names in capitals, the ids 0 and \`/usr/bin/envoy\` stand for yours: doctor and explain
print the whole command. Find the symptom, or ask:

\`\`\`
sidekey doctor                                      # the server, its files, its host
sidekey doctor --envoy FILE                         # a bootstrap, held against the entries
sidekey doctor --envoy-admin http://127.0.0.1:9901  # an Envoy that runs: what it holds, beside what it was sent
sidekey explain --pid PID --spiffe-id ID            # why this process does not get this identity
sidekey explain d-3f2a90c1b7e4                      # what the log or an Envoy calls a decision
sidekey proxies --check                             # what needs somebody
\`\`\`

A held name has no words in Envoy's log: its stream is open and silent, which is as it should be while nobody has made
the entry. What is refused has a decision id in Envoy's log. Values of a container's variables are shown nowhere here.
`;

const PARTS: readonly { readonly title: string; readonly by: Case['by']; readonly ask: string }[] = [
  { title: 'A workload gets no identity', by: 'explain', ask: 'sidekey explain --pid PID --spiffe-id ID' },
  { title: 'The server and its host', by: 'doctor', ask: 'sidekey doctor' },
  { title: 'The server is to be started anew', by: 'restart', ask: 'sidekey doctor' },
  { title: 'No server answers', by: 'silence', ask: 'sidekey doctor' },
  { title: "An Envoy's bootstrap", by: 'lint', ask: 'sidekey doctor --envoy FILE' },
];

export function render(): string {
  const parts = PARTS.map(({ title, by, ask }) => {
    const cases = CASES.filter((one) => one.by === by).map(section);
    return `## ${title}\n\nAsk \`${ask}\`.\n\n${cases.join('\n')}`;
  });
  return `${HEAD}\n${parts.join('\n')}`;
}

function section(one: Case): string {
  return [
    `### ${one.symptom}`,
    '',
    ...(one.words === undefined ? [] : [`* Envoy: ${one.words}`]),
    `* cause: ${one.cause}`,
    `* found: ${'rule' in one ? `\`[${one.rule}]\`` : `\`${plain(one.says)}\``}`,
    'byHand' in one ? `* do: ${one.fix}` : `* run: \`${one.fix}\``,
    ...(one.note === undefined ? [] : [`* note: ${one.note}`]),
    '',
  ].join('\n');
}

/** A pattern as somebody reads it, whoever runs this. */
function plain({ source }: RegExp): string {
  return source
    .replace(/unix:uid:\d{1,6}$/, 'unix:uid:0')
    .replaceAll(/\\n\s*(?:\{4\})?/g, ' … ')
    .replaceAll('\\', '')
    .trimEnd();
}

if (process.argv.includes('--write')) writeFileSync(DOCUMENT, render());
