/** `GET /v1/doctor` of an agent: its host, and its connection to the server. What only the server knows is empty. */

import { Slices } from '../base/index.ts';
import type { Identities } from '../identity/index.ts';
import { type HostReportParts, hostReport } from './doctor.ts';
import type { DoctorJson } from './doctor-schema.ts';
import { maybeTime } from './time.ts';

/** The connection to the server. Times in milliseconds since the epoch. */
export interface AgentState {
  readonly state: 'connected' | 'away';
  /** When it came into this state. */
  readonly since: number;
  /** `host:port` of the one that is connected, or was last. */
  readonly server: string | undefined;
  readonly kind: 'sidekey' | 'spire' | undefined;
  readonly serverVersion: string | undefined;
  readonly problem: string | undefined;
  readonly agentId: string | undefined;
  /** When the agent's own SVID ends. */
  readonly svidEnds: number | undefined;
  readonly joinedInsecurely: boolean;
}

export interface AgentReportParts extends Omit<HostReportParts, 'self' | 'explain'> {
  readonly self: Omit<HostReportParts['self'], 'issuances' | 'entriesFile'>;
  readonly explain: {
    readonly identities: HostReportParts['explain']['identities'] & Pick<Identities, 'svidsInUse'>;
  };
  /** `host:port` of each. */
  readonly servers: readonly string[];
  /** Undefined while the agent starts. */
  readonly status: () => AgentState | undefined;
}

/** @throws ERR_STORE */
export async function agentReport(parts: AgentReportParts): Promise<DoctorJson> {
  const { self, servers, status, explain } = parts;
  // The server has the record of issuances, and judges which entries never had an SVID.
  const issuances = { issuedOf: async (ids: readonly string[]) => new Set(ids) };
  const report = await hostReport({ ...parts, self: { ...self, issuances, entriesFile: undefined } });
  const state = status();
  return {
    ...report,
    authorities: [],
    upstream: null,
    revocation: { revoked: 0, lists: [], why_not: null },
    last_issued_at: null,
    relationships: { count: 0, troubled: 0, sample: [] },
    agent: {
      state: state?.state ?? 'starting',
      since: maybeTime(state?.since),
      servers: [...servers],
      server: state?.server ?? null,
      kind: state?.kind ?? null,
      server_version: state?.serverVersion ?? null,
      problem: state?.problem ?? null,
      spiffe_id: state?.agentId ?? null,
      svid_expires_at: maybeTime(state?.svidEnds),
      first_end_at: maybeTime(await firstEnd(explain.identities)),
      joined_insecurely: state?.joinedInsecurely ?? false,
    },
  };
}

async function firstEnd(identities: Pick<Identities, 'svidsInUse'>): Promise<number | undefined> {
  let first = Number.POSITIVE_INFINITY;
  const slices = new Slices();
  for (const { notAfter, renewAt } of identities.svidsInUse()) {
    // One that ends with its entry needs no server.
    if (renewAt !== Number.POSITIVE_INFINITY) first = Math.min(first, notAfter);
    if (slices.isOver()) await slices.next();
  }
  return first === Number.POSITIVE_INFINITY ? undefined : first;
}
