/** Formats explanations and decisions as text: faults first, remedies last. */

import type { DecisionJson, ExplanationJson } from '../admin/index.ts';
import { asCalled, wordsAsCalled } from './called-as.ts';
import { columnLines } from './output.ts';

type Miss = ExplanationJson['near'][number];

export function explanationLines(explanation: ExplanationJson): string[] {
  const {
    process: subject,
    attestors,
    identities,
    templates,
    bundles,
    unset_bundles: unset,
    near,
    fixes,
    note,
  } = explanation;
  return [
    ...(subject === null
      ? []
      : [
          `process ${subject.pid}: uid ${subject.uid}, gid ${subject.gid}${containedText(subject.contained)}`,
          ...reachLines(subject),
        ]),
    ...askedLines(explanation),
    ...attestors.flatMap(({ error, name }) =>
      error === null ? [] : [`${error}: as long as ${name} fails, the caller gets no identity`],
    ),
    ...section('gets', [
      ...identities.map((one) => `${one.spiffe_id} by entry ${one.entry_id}${one.default ? ', also as default' : ''}`),
      ...bundles.map((name) => `the bundle ${name}`),
      ...unset.map(
        (trustDomain) =>
          `no bundle of ${trustDomain}: it is not set yet (${asCalled('sidekey bundle set')}, or ${asCalled('sidekey federation create')})`,
      ),
      ...(identities.length + bundles.length === 0 ? ['nothing'] : []),
    ]),
    ...section('templates', templates.flatMap(templateLines)),
    ...attestors.flatMap(attestorSection),
    ...section('near misses', near.flatMap(missLines)),
    // The note first: it says what to read before a command is run, or what to do instead.
    ...section('fix', [...(note === null ? [] : [`note: ${note}`]), ...fixes]),
  ];
}

/** Why an entry was not given although nothing was lacking, by the reason of the decision. */
const NOTHING_LACKED: Readonly<Record<string, string>> = {
  contained: 'is not for callers in containers',
  'not-rendered': 'has a template that did not give it',
};

export function decisionLines(decision: DecisionJson): string[] {
  const {
    id,
    at,
    kind,
    name,
    reason,
    detail,
    ended_at: ended,
    pid,
    uid,
    gid,
    contained,
    connection,
    node_id: node,
  } = decision;
  const what = name === null ? '' : ` ${name}`;
  const nothingLacked = NOTHING_LACKED[reason] ?? 'had expired';
  return [
    `${id}: ${kind}${what} at ${at}${ended === null ? '' : `, ended at ${ended}`}`,
    `${reason}: ${wordsAsCalled(detail)}`,
    `process ${pid}: uid ${uid}, gid ${gid}${containedText(contained)}, connection ${connection}${node === null ? '' : `, node ${node}`}`,
    ...section('facts', columnLines(decision.facts.map(({ selector, source }) => [selector, source]))),
    ...section(
      'candidates',
      decision.candidates.map(({ entry_id: entry, lacks }) =>
        lacks.length === 0 ? `entry ${entry} ${nothingLacked}` : `entry ${entry} needs ${lacks.join(', ')}`,
      ),
    ),
  ];
}

/** Says whether the process is connected to the pipe, and whether it can connect. */
function reachLines({ reach, connections }: NonNullable<ExplanationJson['process']>): string[] {
  const count = connections === 1 ? '1 connection' : `${connections} connections`;
  const now = connections === 0 ? 'it is not connected to the pipe now' : `it has ${count} to the pipe now`;
  if (reach.verdict === 'yes') return [`${now}; ${reach.detail}`];
  if (reach.verdict === 'unknown') return [`${now}; whether it can connect was not found out: ${reach.detail}`];
  const lost = connections === 0 ? '' : ', and could not connect again';
  return [
    `${now}${lost}: ${reach.detail}`,
    ...(reach.fix === null ? [] : [`to let it connect: ${reach.fix}`]),
    ...(reach.command ? [`run: ${reach.command}`] : []),
  ];
}

function askedLines({ asked, process: subject }: ExplanationJson): string[] {
  if (asked === null) return [];
  const isOut = subject?.reach.verdict === 'no' && subject.connections === 0;
  if (asked.given && isOut)
    return [`${asked.spiffe_id} is not given: the process cannot ask for it; ${asked.detail} once it can`];
  if (asked.given) return [`${asked.spiffe_id} is given: ${asked.detail}`];
  const meant = asked.alike === null ? [] : [`did you mean ${asked.alike}?`];
  return [`${asked.spiffe_id} is not given: ${asked.reason}: ${wordsAsCalled(asked.detail)}`, ...meant];
}

function attestorSection({
  name,
  at,
  took_ms: took,
  facts,
  error,
  remark,
}: ExplanationJson['attestors'][number]): string[] {
  const found = facts.length + Number(error !== null) === 0 ? ['nothing'] : [];
  const amiss = [error, remark].flatMap((text) => (text === null ? [] : [text]));
  const rows = facts.map(({ selector, source }) => [selector, source]);
  return section(`facts by ${name}, asked at ${at}, which took ${took} ms`, [...columnLines(rows), ...found, ...amiss]);
}

function missLines(miss: Miss): string[] {
  const { entry_id: entry, spiffe_id: spiffeId, selectors, lacks, expired_at: expired, withheld, fix, note } = miss;
  return [
    `${spiffeId} by entry ${entry}: has ${selectors - lacks.length} of ${selectors}`,
    ...lacks.map(lackLine),
    ...(expired === null ? [] : [`  expired at ${expired}`]),
    ...(withheld ? ['  it is not for callers in containers'] : []),
    ...(fix === null ? [] : [`  fix: ${fix}`]),
    ...(note === null ? [] : [`  note: ${note}`]),
  ];
}

function lackLine({ selector, has, alike }: Miss['lacks'][number]): string {
  if (!selector.startsWith('!')) return `  needs ${selector}, has ${hasText(has, alike)}`;
  const [excluded] = has;
  if (excluded !== undefined) return `  has the excluded ${excluded}`;
  return `  needs ${selector}, but it is not known whether it has ${selector.slice(1)}`;
}

function templateLines({
  entry_id: entry,
  template,
  spiffe_id: id,
  why,
  values,
}: ExplanationJson['templates'][number]): string[] {
  return [
    `${template} by entry ${entry}: ${id === null ? `not rendered: ${why}` : `rendered as ${id}`}`,
    ...values.map(
      ({ placeholder, value, why: none }) =>
        `  {${placeholder}} is ${value ?? `not known: ${none ?? 'it has not been read yet'}`}`,
    ),
  ];
}

function containedText(why: string | null): string {
  return why === null ? '' : `, in a container (${why})`;
}

function hasText(has: readonly string[], alike: string | null): string {
  if (alike !== null) return `${alike}: mistyped?`;
  return has.length === 0 ? 'none' : has.join(', ');
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
}
