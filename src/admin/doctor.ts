/** `GET /v1/doctor`: facts that only the server knows. `sidekey doctor` judges them. */

import { setImmediate as turn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { isSecret, type UnreachableUsers } from '../attest/index.ts';
import { type Clock, FILE_SOURCE, Slices } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import { declaredLines } from '../entries-file/index.ts';
import type { Federation } from '../federation/index.ts';
import { type Decisions, type Identities, withheldEntries } from '../identity/index.ts';
import {
  bundleEnd,
  type EntriesView,
  type Entry,
  type EntryFault,
  type EntryFaultsParts,
  entryFaults,
  type IssuanceStore,
  isExpired,
  type Registry,
} from '../registry/index.ts';
import { EVERY_DOMAIN, formatSelector, type TrustDomain } from '../spiffe/index.ts';
import { listAuthorities } from './ca.ts';
import { DOCTOR, type DoctorJson } from './doctor-schema.ts';
import { issuedOf } from './issued.ts';
import { maybeTime, time } from './time.ts';

/** The entries with one kind of fault: their number, and the first few. */
interface Faults {
  count: number;
  readonly sample: EntryFault[];
}

/** Facts from the server's composition. */
export interface SelfKnowledge {
  /** Reads the server's paths and the machine's resources. */
  readonly look: () => Promise<
    Pick<
      DoctorJson,
      | 'data_dir'
      | 'socket'
      | 'admin_socket'
      | 'docker_socket'
      | 'sds_names'
      | 'started'
      | 'inputs'
      | 'entries_file'
      | 'failed_reloads'
      | 'passphrase_files'
      | 'admin_tls'
      | 'published_bundle'
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
  readonly issuances: Pick<IssuanceStore, 'newest' | 'issuedOf' | 'search'>;
  readonly whyNever: EntryFaultsParts['whyNever'];
  readonly meant: EntryFaultsParts['meant'];
  /** The file that declares entries; undefined: none does. */
  readonly entriesFile: string | undefined;
  /** The users among `uids` whose processes can't connect to the pipe. */
  readonly unreachable: (uids: ReadonlySet<number>) => Promise<UnreachableUsers>;
  readonly uidOf: (user: string) => number | undefined;
  /** For each limit the use by the owner that is nearest to it; nothing for unused limits. */
  readonly usage: () => DoctorJson['usage'];
}

/** What a server and an agent can say of themselves and of their host. */
export interface HostReportParts {
  readonly self: Omit<SelfKnowledge, 'issuances'> & { readonly issuances: Pick<IssuanceStore, 'issuedOf'> };
  readonly registry: Pick<
    EntriesView,
    'trustDomain' | 'size' | 'get' | 'list' | 'bySpiffeId' | 'spiffeIds' | 'isLocal'
  > & {
    readonly federatedBundles: { get(trustDomain: string): unknown };
  };
  readonly decisions: Pick<Decisions, 'list'>;
  readonly explain: { readonly identities: Pick<Identities, 'withheld' | 'unrendered'> };
  readonly clock: Clock;
  readonly version: string;
}

export interface DoctorReportParts extends HostReportParts {
  readonly self: SelfKnowledge;
  readonly ca: Pick<CertificateAuthority, 'authorities' | 'upstream' | 'revocationLists' | 'whyNotRevocable'>;
  readonly registry: Registry;
  readonly federation: Pick<Federation, 'list'>;
}

/** What only the keeper of the authorities knows. */
type OfServer = 'authorities' | 'upstream' | 'revocation' | 'last_issued_at' | 'relationships' | 'agent';

/** Maximum number of entries that are named per kind of fault. */
const SAMPLE = 5;
/** What the report lists as unknown if the search for users that can't connect to the pipe did not finish. */
const USERS = 'whether the users that entries name can connect to the pipe';
/** The maximum number of users that are checked. */
const MAX_USERS = 200;

export function addDoctorRoutes(app: FastifyInstance, report: () => Promise<DoctorJson>): void {
  app.get(
    '/v1/doctor',
    {
      schema: {
        operationId: 'getDoctorReport',
        summary: 'Report the state that sidekey doctor judges',
        response: { 200: DOCTOR },
      },
    },
    report,
  );
}

/** What the server knows of itself. @throws ERR_STORE */
export async function doctorReport(parts: DoctorReportParts): Promise<DoctorJson> {
  const { self, ca, registry, federation } = parts;
  const [newest] = await self.issuances.newest({ limit: 1 });
  return {
    ...(await hostReport(parts)),
    ...listAuthorities(ca),
    revocation: {
      revoked: registry.revocations.size,
      lists: ca.revocationLists().map(({ authorityId, nextUpdate }) => {
        return { authority_id: authorityId, next_update: time(nextUpdate) };
      }),
      why_not: ca.whyNotRevocable() ?? null,
    },
    last_issued_at: newest === undefined ? null : time(newest.issuedAt),
    relationships: relationshipsOf(federation),
    agent: null,
  };
}

/** @throws ERR_STORE */
export async function hostReport(parts: HostReportParts): Promise<Omit<DoctorJson, OfServer>> {
  const { self, registry, clock, version } = parts;
  const now = clock.now();
  const { unseen, ...looked } = await self.look();
  const { unfinished, ...requirements } = await requirementsOf(parts, now);
  return {
    at: time(now),
    version,
    trust_domain: registry.trustDomain,
    pid: process.pid,
    uid: process.geteuid!(),
    ...looked,
    unseen: unfinished === undefined ? unseen : [...unseen, { what: USERS, error: unfinished }],
    usage: self.usage(),
    unseen_callers: await unseenCallers(parts.decisions),
    withheld: await withheldOf(parts, now),
    unrendered: await unrenderedOf(parts),
    entries: await entriesOf(parts, now),
    ...requirements,
  };
}

const WORST_FIRST = ['revoked', 'stale-bootstrap', 'failing'] as const;

function relationshipsOf(federation: DoctorReportParts['federation']): DoctorJson['relationships'] {
  const all = federation.list();
  const troubled = WORST_FIRST.flatMap((state) =>
    all.filter(({ status }) => status.state === state).map((view) => ({ ...view, state })),
  );
  return {
    count: all.length,
    troubled: troubled.length,
    sample: troubled.slice(0, SAMPLE).map(({ relationship, status, bundle, state }) => ({
      trust_domain: relationship.trustDomain,
      state,
      message: status.error?.message ?? null,
      fix: status.error?.fix ?? null,
      expires_at: maybeTime(bundle && bundleEnd(bundle)),
    })),
  };
}

async function withheldOf(
  { explain: { identities }, decisions, registry, self }: HostReportParts,
  now: number,
): Promise<DoctorJson['withheld']> {
  const entries = await withheldEntries({ identities, decisions, registry }, now);
  const shown = entries.slice(0, SAMPLE);
  const placeOf = await placesOf(
    shown.map(({ entry }) => entry),
    self,
  );
  const sample = shown.map(({ entry, pids, lastAt, why, ...counts }) => ({
    entry_id: entry.id,
    spiffe_id: entry.spiffeId,
    ...placeOf(entry),
    ...counts,
    pids: [...pids],
    why: why ?? null,
    last_at: maybeTime(lastAt),
  }));
  return { count: entries.length, sample };
}

/** The templates that connected callers match, but that are not rendered for them; by entry and reason. */
async function unrenderedOf({ explain: { identities }, self }: HostReportParts): Promise<DoctorJson['unrendered']> {
  const found = new Map<string, { entry: Entry; why: string; callers: number; pids: number[] }>();
  for (const { entry, why, callers, pids } of identities.unrendered()) {
    const key = `${entry.id} ${why}`;
    const known = found.get(key) ?? { entry, why, callers: 0, pids: [] };
    known.callers += callers;
    known.pids = [...known.pids, ...pids].slice(0, SAMPLE);
    found.set(key, known);
  }
  const shown = [...found.values()].slice(0, SAMPLE);
  const placeOf = await placesOf(
    shown.map(({ entry }) => entry),
    self,
  );
  const sample = shown.map(({ entry, ...rest }) => ({
    entry_id: entry.id,
    spiffe_id: entry.spiffeId,
    ...placeOf(entry),
    ...rest,
  }));
  return { count: found.size, sample };
}

async function entriesOf({ registry, self }: HostReportParts, now: number): Promise<DoctorJson['entries']> {
  const none = (): Faults => ({ count: 0, sample: [] });
  const faults = { reserved: none(), expired: none(), unproducible: none(), shadowed: none(), 'never-issued': none() };
  const issued = await issuedOf([...new Set(registry.spiffeIds())], self.issuances);
  const slices = new Slices();
  for (const fault of entryFaults({ registry, issued, whyNever: self.whyNever, meant: self.meant, now })) {
    if (fault !== undefined) note(faults[fault.kind], fault);
    if (slices.isOver()) await slices.next();
  }
  const placeOf = await placesOf(
    Object.values(faults).flatMap(({ sample }) => sample.map(({ entry }) => entry)),
    self,
  );
  const toJson = ({ count, sample }: Faults) => ({
    count,
    sample: sample.map(({ entry, detail, meant }) => ({
      entry_id: entry.id,
      spiffe_id: entry.spiffeId,
      detail,
      ...placeOf(entry),
      // Secret values are not shown, so a command can't contain them.
      selectors: meant === undefined || meant.some(isSecret) ? null : meant.map(formatSelector),
    })),
  });
  return {
    total: registry.size,
    reserved: toJson(faults.reserved),
    expired: toJson(faults.expired),
    unproducible: toJson(faults.unproducible),
    shadowed: toJson(faults.shadowed),
    'never-issued': toJson(faults['never-issued']),
  };
}

/** Returns a function that gives the source of each of these entries, and its place in the entries file. */
async function placesOf(entries: readonly Entry[], { entriesFile: file }: HostReportParts['self']) {
  const declared = entries.filter(({ source }) => source === FILE_SOURCE);
  const places = file === undefined ? undefined : await declaredLines(file, declared);
  return ({ id, source }: Entry) => ({
    source,
    file: source === FILE_SOURCE ? (places?.get(id)?.file ?? file ?? null) : null,
    line: places?.get(id)?.line ?? null,
  });
}

function note(faults: Faults, fault: EntryFault): void {
  faults.count += 1;
  if (faults.sample.length < SAMPLE) faults.sample.push(fault);
}

/** Finds what entries lack: users that can connect to the pipe, and bundles of the domains that the entries federate with. */
async function requirementsOf(
  { registry, self }: HostReportParts,
  now: number,
): Promise<Pick<DoctorJson, 'unreachable_users' | 'unset_bundles'> & Pick<UnreachableUsers, 'unfinished'>> {
  const byUid = new Map<number, Entry>();
  const unset = new Map<TrustDomain, { count: number; entry: Entry }>();
  let cursor: string | undefined;
  do {
    const page = registry.list({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) });
    for (const entry of page.entries) {
      if (isExpired(entry, now)) continue;
      for (const uid of uidsOf(entry, self)) if (!byUid.has(uid) && byUid.size < MAX_USERS) byUid.set(uid, entry);
      for (const domain of entry.federatesWith) {
        if (domain === EVERY_DOMAIN || registry.federatedBundles.get(domain) !== undefined) continue;
        const known = unset.get(domain);
        unset.set(domain, { count: (known?.count ?? 0) + 1, entry: known?.entry ?? entry });
      }
    }
    cursor = page.nextCursor;
    await turn();
  } while (cursor !== '');
  const { users, unfinished } = await self.unreachable(new Set(byUid.keys()));
  return {
    unfinished,
    unreachable_users: users.map(({ uid, pid, detail, fix, command }) => {
      const { id, spiffeId } = byUid.get(uid)!;
      return { uid, pid: pid ?? null, entry_id: id, spiffe_id: spiffeId, detail, fix, command: command ?? null };
    }),
    unset_bundles: [...unset].map(([domain, { count, entry }]) => ({
      trust_domain: domain,
      entries: count,
      entry_id: entry.id,
      spiffe_id: entry.spiffeId,
    })),
  };
}

/** The users that an entry names. */
function uidsOf({ selectors }: Entry, { uidOf }: HostReportParts['self']): number[] {
  return selectors.flatMap(({ type, value, negated }) => {
    if (type !== 'unix' || negated === true) return [];
    if (value.startsWith('uid:')) return [Number(value.slice('uid:'.length))];
    return value.startsWith('user:') ? (uidOf(value.slice('user:'.length)) ?? []) : [];
  });
}

/** Counts callers with pid 0, which the kernel reports if a caller's pid namespace is not below the server's. */
async function unseenCallers(decisions: Pick<Decisions, 'list'>): Promise<DoctorJson['unseen_callers']> {
  const { decisions: records } = await decisions.list({ pid: 0, limit: 1_000 });
  const [last] = records;
  return { count: records.length, uid: last?.uid ?? null, last_at: last === undefined ? null : time(last.at) };
}
