/** `GET /v1/explain`: which identities a caller has, and why it lacks others. */

import type { FastifyInstance } from 'fastify';
import {
  type AttestorReport,
  type Inspect,
  type Inspection,
  redactSelector,
  sourceOf,
  valuesOf,
} from '../attest/index.ts';
import { type Clock, FILE_SOURCE, SidekeyError } from '../base/index.ts';
import type { Ledger } from '../delivery/index.ts';
import { declaredLines } from '../entries-file/index.ts';
import {
  type ExplainedMiss,
  type Explanation,
  type ExplanationQuery,
  explain,
  type Identities,
} from '../identity/index.ts';
import type { Entry, RegistryView } from '../registry/index.ts';
import { parseSpiffeId, type Selector, type SpiffeId, splitSelector } from '../spiffe/index.ts';
import { EXPLAIN_QUERY, EXPLANATION, type ExplainQuery, type ExplanationJson } from './explain-schema.ts';
import { time } from './time.ts';

export interface ExplainRoutesParts {
  readonly registry: RegistryView;
  readonly identities: Pick<
    Identities,
    'bundle' | 'federated' | 'holders' | 'render' | 'withheld' | 'unrendered' | 'lapsesOf'
  >;
  /** Asks the attestors about a process. */
  readonly inspect: Inspect;
  /** Finds the main process of a container; undefined if no container engine is configured. */
  readonly mainPid: ((nameOrId: string) => Promise<number | undefined>) | undefined;
  readonly ledger: Pick<Ledger, 'connections'>;
  readonly self: { readonly entriesFile: string | undefined };
  readonly clock: Clock;
  /** On an agent: the server that keeps the entries. */
  readonly agent?: () => { readonly server: string; readonly agentId: string | undefined };
}

/** The reason why an assumed caller counts as contained. */
const SUPPOSED = 'as assumed in the request';
const SUBJECT_RULE = 'give exactly one of pid, container and selector';

export function addExplainRoutes(app: FastifyInstance, parts: ExplainRoutesParts): void {
  app.get<{ Querystring: ExplainQuery }>(
    '/v1/explain',
    {
      schema: {
        operationId: 'explain',
        errors: [
          'ERR_NOT_FOUND',
          'ERR_PEER_CHANGED',
          'ERR_PEER_GONE',
          'ERR_PEER_UNATTESTABLE',
          'ERR_ATTESTATION_FAILED',
          'ERR_KERNEL',
          'ERR_PROC',
        ],
        summary: 'Explain which identities a process, a container or a set of selectors has, and why it lacks others',
        querystring: EXPLAIN_QUERY,
        response: { 200: EXPLANATION },
      },
    },
    async ({ query }) => {
      const spiffeId = query.spiffe_id === undefined ? undefined : readId(query.spiffe_id);
      const subjects = [query.pid, query.container, query.selector].filter((one) => one !== undefined);
      if (query.contained && query.selector === undefined) {
        throw badParameter(
          '?contained',
          'it is given without selector',
          'give it only with selector; for a process the server finds it out',
        );
      }
      if (subjects.length !== 1)
        throw badParameter('?', `${subjects.length} of pid, container and selector are given`, SUBJECT_RULE);
      const inspection = query.selector === undefined ? await inspectionOf(query, parts) : undefined;
      const failed = inspection?.attestors.some(({ error }) => error !== undefined) ?? false;
      const selectors =
        query.selector?.map(readSelector) ??
        inspection!.attestors.flatMap(({ found, further }) => [...found, ...further.negatives]);
      const values = inspection && valuesOf(inspection.attestors.map(({ further }) => further));
      const now = parts.clock.now();
      const contained = inspection === undefined ? (query.contained ? SUPPOSED : undefined) : inspection.contained;
      const replaced = inspection?.replaced;
      const options = { spiffeId, limit: query.limit, failed, contained, values, replaced };
      const explanation = await explainDeclared(selectors, options, parts, now);
      const lapses = inspection === undefined ? [] : parts.identities.lapsesOf(inspection.credentials.pid);
      const note = [...lapses, explanation.note].filter((one) => one !== undefined).join('; ');
      const subject = inspection && processToJson(inspection, parts);
      const json = toJson({ ...explanation, note: note === '' ? undefined : note }, inspection, subject, now);
      return parts.agent === undefined ? json : onServer(json, parts.agent());
    },
  );
}

async function inspectionOf(query: ExplainQuery, parts: ExplainRoutesParts): Promise<Inspection> {
  const pid = await pidOf(query, parts);
  const inspection = await parts.inspect(pid);
  // If the container ended before the process was pinned, another process may have got the pid.
  if (query.container === undefined || (await pidOf(query, parts)) === pid) return inspection;
  const message = `container ${query.container} was started again while its main process ${pid} was examined; ask again`;
  throw new SidekeyError('ERR_PEER_CHANGED', message);
}

/** Explains with the places of near misses in the entries file. */
async function explainDeclared(
  selectors: readonly Selector[],
  options: ExplanationQuery,
  parts: ExplainRoutesParts,
  now: number,
): Promise<Explanation> {
  const explanation = explain(selectors, options, parts, now);
  const { entriesFile: file } = parts.self;
  const declared = explanation.near.map(({ entry }) => entry).filter(({ source }) => source === FILE_SOURCE);
  if (file === undefined || declared.length === 0) return explanation;
  const places = await declaredLines(file, declared);
  const placeOf = ({ id, source }: Entry) =>
    source === FILE_SOURCE ? { source, file, ...places.get(id) } : { source };
  return explain(selectors, { ...options, placeOf }, parts, now);
}

async function pidOf({ pid, container }: ExplainQuery, { mainPid }: ExplainRoutesParts): Promise<number> {
  if (pid !== undefined) return pid;
  if (mainPid === undefined) {
    const rule = 'start sidekey serve with --docker-socket to ask about containers';
    throw badParameter('?container', 'the server asks no container engine', rule);
  }
  const found = await mainPid(container!);
  if (found === undefined)
    throw new SidekeyError('ERR_NOT_FOUND', `the container engine knows no container ${container}`);
  return found;
}

function readId(text: string): SpiffeId {
  try {
    return parseSpiffeId(text);
  } catch (thrown) {
    throw badParameter('?spiffe_id', (thrown as Error).message, 'give spiffe://<trust domain>/<path>');
  }
}

function readSelector(text: string): Selector {
  const selector = splitSelector(text);
  if (selector === undefined)
    throw badParameter(
      '?selector',
      'it has no type',
      'give type:value, such as unix:uid:1000, or !type:value for a fact that the caller is known not to have',
    );
  return selector;
}

function badParameter(path: string, problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path, problem, rule }]);
}

function processToJson(
  { credentials, contained, reach: { seenAs, fix, command, ...told } }: Inspection,
  { ledger }: ExplainRoutesParts,
): NonNullable<ExplanationJson['process']> {
  const { pid } = credentials;
  let connections = 0;
  for (const { peer } of ledger.connections()) if (peer.credentials.pid === pid) connections += 1;
  return {
    ...credentials,
    contained: contained ?? null,
    reach: { ...told, fix: fix ?? null, command: command ?? null, seen_as: seenAs ?? null },
    connections,
  };
}

function toJson(
  explanation: Explanation,
  inspection: Inspection | undefined,
  subject: ExplanationJson['process'] | undefined,
  now: number,
): ExplanationJson {
  const { entries, byDefault, templates, bundles, unset, asked, near, fixes, note } = explanation;
  return {
    at: time(now),
    process: subject ?? null,
    attestors: inspection?.attestors.map(attestorToJson) ?? [],
    asked:
      asked === undefined
        ? null
        : {
            spiffe_id: asked.spiffeId,
            given: asked.given,
            reason: asked.reason ?? null,
            detail: asked.detail,
            alike: asked.alike ?? null,
          },
    identities: entries.map((entry) => ({
      entry_id: entry.id,
      spiffe_id: entry.spiffeId,
      default: entry === byDefault,
    })),
    templates: templates.map(templateToJson),
    bundles: [...bundles],
    unset_bundles: [...unset],
    near: near.map(missToJson),
    fixes: [...fixes],
    note: note ?? null,
    server: null,
  };
}

/** The explanation of an agent: the commands are for its server, and new entries for this agent. */
function onServer(
  json: ExplanationJson,
  { server, agentId }: ReturnType<NonNullable<ExplainRoutesParts['agent']>>,
): ExplanationJson {
  const parent = agentId === undefined ? '' : ` --parent-id ${agentId}`;
  const fixes = json.fixes.map((fix) => (fix.startsWith('sidekey entry create ') ? fix + parent : fix));
  const hasCommand = fixes.length > 0 || json.near.some(({ fix }) => fix !== null);
  const told = hasCommand ? `this is an agent: run the commands on its server, ${server}` : undefined;
  const notes = [told, json.note].filter((one) => one !== undefined && one !== null);
  return { ...json, fixes, note: notes.length === 0 ? null : notes.join('; '), server };
}

function templateToJson({
  entry,
  spiffeId,
  why,
  values,
}: Explanation['templates'][number]): ExplanationJson['templates'][number] {
  return {
    entry_id: entry.id,
    template: entry.spiffeId,
    spiffe_id: spiffeId ?? null,
    why: why ?? null,
    values: values.map(({ placeholder, value }) => ({
      placeholder,
      value: value !== undefined && 'value' in value ? value.value : null,
      why: value !== undefined && 'why' in value ? value.why : null,
    })),
  };
}

function attestorToJson({
  name,
  at,
  took,
  found,
  error,
  remark,
}: AttestorReport): ExplanationJson['attestors'][number] {
  const facts = found.map(redactSelector).map((selector) => ({ selector, source: sourceOf(selector) }));
  return {
    name,
    at: time(at),
    took_ms: Math.round(took * 1_000) / 1_000,
    facts,
    error: error ?? null,
    remark: remark ?? null,
  };
}

function missToJson({ entry, lacks, expired, withheld, fix, note }: ExplainedMiss): ExplanationJson['near'][number] {
  return {
    entry_id: entry.id,
    spiffe_id: entry.spiffeId,
    selectors: entry.selectors.length,
    lacks: lacks.map(({ selector, has, alike }) => ({ selector, has: [...has], alike: alike ?? null })),
    expired_at: expired ? time(entry.expiresAt) : null,
    withheld,
    fix: fix ?? null,
    fixes: fix === undefined ? [] : [fix],
    note: note ?? null,
  };
}
