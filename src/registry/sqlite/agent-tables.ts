/** The tables of agents and of the tokens by which they join; times are milliseconds since the epoch. */

import { parseSpiffeId, type Selector, type SpiffeId, type TrustDomain, trustDomainOf } from '../../spiffe/index.ts';
import { type Agent, ATTESTATION_TYPES, type JoinToken } from '../agent.ts';
import type { Access } from './access.ts';
import type { Logs } from './logs.ts';
import { type NamedTable, namedTable } from './named-table.ts';

interface AgentRow {
  id: string;
  attestation_type: string;
  /** JSON. */
  selectors: string;
  alias: string;
  serial: string;
  not_after: number;
  new_serial: string;
  new_not_after: number;
  can_reattest: number;
  banned: number;
  version: string;
  created_at: number;
}

interface JoinTokenRow {
  hash: string;
  alias: string;
  created_at: number;
  expires_at: number;
}

/** @param own the server's trust domain; all agents are of it */
export function agentTable(access: Access, logs: Logs, own: TrustDomain): NamedTable<Agent> {
  return namedTable<Agent, AgentRow>(access, logs, {
    table: 'agents',
    what: 'agent',
    columns: [
      ...([
        'id',
        'attestation_type',
        'selectors',
        'alias',
        'serial',
        'not_after',
        'new_serial',
        'new_not_after',
      ] as const),
      ...(['can_reattest', 'banned', 'version', 'created_at'] as const),
    ],
    toRow: (agent) => ({
      id: agent.id,
      attestation_type: agent.attestationType,
      selectors: JSON.stringify(agent.selectors),
      alias: agent.alias,
      serial: agent.serial,
      not_after: agent.notAfter,
      new_serial: agent.newSerial,
      new_not_after: agent.newNotAfter,
      can_reattest: Number(agent.canReattest),
      banned: Number(agent.banned),
      version: agent.version,
      created_at: agent.createdAt,
    }),
    fromRow: (row) => {
      const attestationType = ATTESTATION_TYPES.find((type) => type === row.attestation_type);
      if (attestationType === undefined) throw new Error(`${JSON.stringify(row.attestation_type)} attests no agents`);
      return {
        id: ownId(row.id, own),
        attestationType,
        selectors: JSON.parse(row.selectors) as Selector[],
        alias: row.alias === '' ? '' : ownId(row.alias, own),
        serial: row.serial,
        notAfter: row.not_after,
        newSerial: row.new_serial,
        newNotAfter: row.new_not_after,
        canReattest: row.can_reattest === 1,
        banned: row.banned === 1,
        version: row.version,
        createdAt: row.created_at,
      };
    },
  });
}

export function joinTokenTable(access: Access, logs: Logs, own: TrustDomain): NamedTable<JoinToken> {
  return namedTable<JoinToken, JoinTokenRow>(access, logs, {
    table: 'join_tokens',
    what: 'join token',
    columns: ['hash', 'alias', 'created_at', 'expires_at'],
    toRow: ({ hash, alias, createdAt, expiresAt }) => ({ hash, alias, created_at: createdAt, expires_at: expiresAt }),
    fromRow: ({ hash, alias, created_at: createdAt, expires_at: expiresAt }) => {
      return { hash, alias: alias === '' ? '' : ownId(alias, own), createdAt, expiresAt };
    },
  });
}

function ownId(text: string, own: TrustDomain): SpiffeId {
  const id = parseSpiffeId(text);
  if (trustDomainOf(id) !== own) throw new Error(`${id} is not in ${own}`);
  return id;
}
