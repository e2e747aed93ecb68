/** The agent port, as the settings have it. */

import { type AgentPortParts, type Attachments, openAgentPort } from '../agents/index.ts';
import type { Ledger } from '../delivery/index.ts';
import { type Entry, everyEntry, isNodeAlias, type Registry } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { StartContext } from './start-context.ts';

/** The attached agents; undefined while there is no port for them. */
export type Fleet = Pick<Attachments, 'list' | 'size' | 'holders' | 'revocations' | 'ask' | 'onMove'>;

/** Listens if the settings say so. @throws ERR_CONFIG, ERR_SOCKET */
export async function listenForAgents(
  { config, clock, log, parts, meters: { agents: counts, counters } }: StartContext,
  ledger: Ledger,
  given: AgentPortParts,
): Promise<Fleet | undefined> {
  const { agentListen: listen, agentX509popCa: popCaFile, agentTtl, x509SvidTtl, jwtSvidTtl } = config;
  if (listen === undefined) return undefined;
  warnOfParents(given.registry, log);
  const settings = { listen, popCaFile, agentTtl, x509SvidTtl, jwtSvidTtl };
  const port = parts.own(await openAgentPort({ ...given, ...settings, counts, counters, clock, log }));
  ledger.alsoUsing = (authorityIds) => port.using(authorityIds);
  ledger.alsoLagging = (sequenceNumber) => port.attachments.lagging(sequenceNumber);
  const { address, port: number } = port.address;
  log.info({ address, port: number, x509pop: popCaFile !== undefined }, 'agents of other hosts may attach');
  return port.attachments;
}

/** Number of entries in one line. */
const NAMED = 5;

/** Warns of entries whose parent is no agent, no alias and no other entry: they are given to nobody. */
function warnOfParents(registry: Registry, log: Log): void {
  const aliases = new Set(registry.agents.list().map(({ alias }) => alias));
  const unknown: Entry[] = [];
  for (const entry of everyEntry(registry)) if (hasUnknownParent(entry, registry, aliases)) unknown.push(entry);
  if (unknown.length === 0) return;
  const entries = unknown.slice(0, NAMED).map(({ id, parentId }) => ({ id, parent_id: parentId }));
  log.warn(
    { entries, more: unknown.length - entries.length },
    'these entries have a parent that is no agent here, so they are given to nobody: since --agent-listen is set, parent_id says on which host an entry counts (docs/hosts.md)',
  );
}

function hasUnknownParent(entry: Entry, registry: Registry, aliases: ReadonlySet<string>): boolean {
  const { parentId } = entry;
  if (registry.isLocal(entry) || isNodeAlias(entry)) return false;
  if (registry.agents.get(parentId) !== undefined || registry.bySpiffeId(parentId).length > 0) return false;
  return !aliases.has(parentId);
}
