/** `GET /v1/doctor`: facts that only the server knows. `sidekey doctor` judges them. */

import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../base/clock.ts';
import type { CertificateAuthority } from '../ca/types.ts';
import type { Decisions } from '../identity/decisions.ts';
import type { Identities } from '../identity/identities.ts';
import { withheldEntries } from '../identity/withheld.ts';
import { type EntryFault, type EntryFaultsParts, entryFaults } from '../registry/entry-faults.ts';
import type { IssuanceStore } from '../registry/store/issuance-store.ts';
import type { Registry } from '../registry/types.ts';
import { DOCTOR, type DoctorJson } from './doctor-schema.ts';
import { issuedOf } from './issued.ts';

/** Facts from the server's composition. */
export interface SelfKnowledge {
  /** Paths, and resources of the machine. */
  readonly look: () => Promise<
    Pick<
      DoctorJson,
      | 'data_dir'
      | 'socket'
      | 'admin_socket'
      | 'docker_socket'
      | 'inputs'
      | 'attestors'
      | 'proc'
      | 'disk'
      | 'descriptors'
      | 'unseen'
      | 'kernel'
      | 'unmapped'
      | 'replaced_programs'
      | 'ambiguous_labels'
    >
  >;
  readonly authorities: CertificateAuthority['authorities'];
  readonly issuances: Pick<IssuanceStore, 'newest' | 'issuedOf'>;
  readonly whyNever: EntryFaultsParts['whyNever'];
  /** For each limit the use by the owner that is nearest to it; nothing for unused limits. */
  readonly usage: () => DoctorJson['usage'];
}

export interface DoctorRoutesParts {
  readonly self: SelfKnowledge;
  readonly registry: Registry;
  readonly decisions: Pick<Decisions, 'list'>;
  readonly explain: { readonly identities: Pick<Identities, 'withheld'> };
  readonly clock: Clock;
  readonly version: string;
}

/** The number of entries that are named per fault. */
const SAMPLE = 5;
/** Maximum duration of a slice of the search through all entries, in milliseconds. */
const SLICE_MS = 5;

export function addDoctorRoutes(app: FastifyInstance, parts: DoctorRoutesParts): void {
  app.get(
    '/v1/doctor',
    {
      schema: {
        operationId: 'getDoctorReport',
        summary: 'Report the state that sidekey doctor judges',
        response: { 200: DOCTOR },
      },
    },
    async (): Promise<DoctorJson> => {
      const { self, registry, clock, version } = parts;
      const now = clock.now();
      const [newest] = await self.issuances.newest({ limit: 1 });
      return {
        at: time(now),
        version,
        trust_domain: registry.trustDomain,
        pid: process.pid,
        uid: process.geteuid!(),
        ...(await self.look()),
        authorities: self.authorities().map(({ id, role, notBefore, notAfter }) => ({
          id,
          role,
          not_before: time(notBefore),
          not_after: time(notAfter),
        })),
        last_issued_at: newest === undefined ? null : time(newest.issuedAt),
        usage: self.usage(),
        unseen_callers: await unseenCallers(parts.decisions),
        withheld: await withheldOf(parts, now),
        entries: await entriesOf(parts, now),
      };
    },
  );
}

async function withheldOf(
  { explain: { identities }, decisions, registry }: DoctorRoutesParts,
  now: number,
): Promise<DoctorJson['withheld']> {
  const entries = await withheldEntries({ identities, decisions, registry }, now);
  const sample = entries.slice(0, SAMPLE).map(({ entry, pids, lastAt, why, ...counts }) => ({
    entry_id: entry.id,
    spiffe_id: entry.spiffeId,
    ...counts,
    pids: [...pids],
    why: why ?? null,
    last_at: lastAt === undefined ? null : time(lastAt),
  }));
  return { count: entries.length, sample };
}

async function entriesOf({ registry, self }: DoctorRoutesParts, now: number): Promise<DoctorJson['entries']> {
  const none = () => ({ count: 0, sample: [] as DoctorJson['entries']['expired']['sample'] });
  const faults = { expired: none(), unproducible: none(), shadowed: none(), 'never-issued': none() };
  const issued = await issuedOf([...new Set(registry.spiffeIds())], self.issuances);
  let end = performance.now() + SLICE_MS;
  for (const fault of entryFaults({ registry, issued, whyNever: self.whyNever, now })) {
    if (fault !== undefined) note(faults[fault.kind], fault);
    if (performance.now() < end) continue;
    await turn();
    end = performance.now() + SLICE_MS;
  }
  return { total: registry.size, ...faults };
}

function note(faults: DoctorJson['entries']['expired'], { entry, detail }: EntryFault): void {
  faults.count += 1;
  if (faults.sample.length >= SAMPLE) return;
  faults.sample.push({ entry_id: entry.id, spiffe_id: entry.spiffeId, detail });
}

/** The kernel reports pid 0 for callers whose pid namespace is not below the server's. */
async function unseenCallers(decisions: Pick<Decisions, 'list'>): Promise<DoctorJson['unseen_callers']> {
  const { decisions: records } = await decisions.list({ pid: 0, limit: 1_000 });
  const [last] = records;
  return { count: records.length, uid: last?.uid ?? null, last_at: last === undefined ? null : time(last.at) };
}

function time(instant: number): string {
  return new Date(instant).toISOString();
}
