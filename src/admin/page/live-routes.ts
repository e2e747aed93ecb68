/** Routes for what the page follows: an overview, the rows of all proxies, and messages of what has changed. */

import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Clock, Finding } from '../../base/index.ts';
import type { Registry } from '../../registry/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { senderOf } from '../access.ts';
import { type AdminCa, listAuthorities } from '../ca.ts';
import { type DoctorReportParts, doctorReport } from '../doctor.ts';
import type { DoctorJson } from '../doctor-schema.ts';
import type { EventReaders } from '../event-readers.ts';
import { holdSession, untilOf } from '../events.ts';
import { inSlices } from '../json-pieces.ts';
import { time } from '../time.ts';
import { OVERVIEW, type OverviewJson, PAGE_MESSAGE, PROXY_ROWS } from './live-schema.ts';
import type { LiveView } from './live-view.ts';
import type { PageSessions } from './sessions.ts';

export interface LiveRoutesParts extends DoctorReportParts {
  readonly live: LiveView;
  readonly pageReaders: EventReaders;
  readonly sessions: PageSessions;
  readonly ca: DoctorReportParts['ca'] & AdminCa;
  readonly registry: Registry;
  /** What `sidekey doctor` finds in the report of the server, the worst first. */
  readonly judge: (report: DoctorJson) => Promise<readonly Finding[]>;
  readonly clock: Clock;
  readonly log: Log;
}

const MEDIA_TYPE = 'text/event-stream';
/** Proxies that an authority of the overview waits for. */
const WAITING = 5;
/** Findings in the overview. */
const FINDINGS = 50;
/** Findings are looked for again when they are older, in milliseconds. */
const FINDINGS_MS = 10_000;
/** An overview waits this long for findings, in milliseconds; then it has those from before. */
const PATIENCE_MS = 150;

export function addLiveRoutes(app: FastifyInstance, parts: LiveRoutesParts): void {
  const { live, pageReaders, sessions, ca, registry, clock, version } = parts;
  const findings = new Findings(parts);
  const startedAt = time(Math.round(performance.timeOrigin));
  const place = () => ({ instance: live.instance, cursor: live.cursor, at: time(clock.now()) });

  app.get(
    '/v1/page/overview',
    {
      schema: {
        operationId: 'getPageOverview',
        summary: 'Counts, authorities, findings and the last events, in one answer',
        response: { 200: OVERVIEW },
      },
    },
    async (): Promise<OverviewJson> => {
      const [found] = await Promise.all([findings.soon(), live.ready()]);
      const { authorities, upstream } = listAuthorities(ca, WAITING);
      return {
        ...place(),
        ...{ trust_domain: registry.trustDomain, version, started_at: startedAt },
        ...{ entries: registry.size, revoked: registry.revocations.size },
        counts: live.counts(),
        ...{ authorities, upstream },
        findings: found ?? null,
        events: live.events(),
      };
    },
  );

  app.get(
    '/v1/page/proxies',
    {
      schema: {
        operationId: 'listProxyRows',
        summary: 'A short row for each proxy; GET /v1/proxies has all of one',
        response: { 200: PROXY_ROWS },
      },
    },
    async (_request, reply) => {
      await live.ready();
      const text = Readable.from(inSlices(rowsOf(place(), live.rows())), { objectMode: false });
      return reply.type('application/json; charset=utf-8').send(text);
    },
  );

  app.get(
    '/v1/page/events',
    {
      // HEAD would never end.
      exposeHeadRoute: false,
      schema: {
        operationId: 'followPage',
        errors: ['ERR_NOT_READY', 'ERR_TOO_MANY_READERS'],
        summary: 'Stream what the page follows, merged to at most 20 messages a second, as server-sent events',
        response: { 200: { content: { [MEDIA_TYPE]: { schema: PAGE_MESSAGE } } } },
      },
    },
    ({ requester, headers }, reply) => {
      const resumed = headers['last-event-id'] === live.id;
      const greeting = () => {
        const hello = { ...place(), resumed };
        return `event: hello\nid: ${live.id}\ndata: ${JSON.stringify(hello)}\n\n`;
      };
      // The route needs a role, so the sender is known.
      pageReaders.add(reply.raw, { sender: senderOf(requester!), until: untilOf(requester), greeting });
      reply.hijack();
      holdSession(sessions, requester, reply.raw);
    },
  );
}

function* rowsOf(place: object, rows: Iterable<string>): Generator<string> {
  yield `${JSON.stringify(place).slice(0, -1)},"rows":[`;
  let comma = '';
  for (const row of rows) {
    yield `${comma}${row}`;
    comma = ',';
  }
  yield ']}';
}

/** What doctor finds, found once for all readers: it reads entries, files and the database. */
class Findings {
  readonly #parts: LiveRoutesParts;
  #known: OverviewJson['findings'] = null;
  #knownAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(parts: LiveRoutesParts) {
    this.#parts = parts;
  }

  async soon(): Promise<OverviewJson['findings']> {
    if (performance.now() - this.#knownAt < FINDINGS_MS) return this.#known;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await Promise.race([this.#looking, delay(PATIENCE_MS, undefined, { ref: false })]);
    return this.#known;
  }

  async #look(): Promise<void> {
    const { judge, clock, log } = this.#parts;
    try {
      const all = await judge(await doctorReport(this.#parts));
      const list = all.slice(0, FINDINGS).map(({ line, command, ...rest }) => ({
        ...rest,
        ...(line === undefined ? {} : { line }),
        ...(command === undefined ? {} : { command }),
      }));
      this.#known = { at: time(clock.now()), list, more: all.length - list.length };
    } catch (err) {
      log.error({ err }, 'the findings for the page could not be made');
    }
    this.#knownAt = performance.now();
  }
}
