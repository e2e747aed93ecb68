/** An agent port on a real registry and authority, in this process. */

import path from 'node:path';
import type { TestContext } from 'node:test';
import { AgentCounts } from '../../src/agents/counts.ts';
import { startAgentPort } from '../../src/agents/port.ts';
import type { Refusal } from '../../src/audit/refusals.ts';
import { openCertificateAuthority } from '../../src/ca/certificate-authority.ts';
import { TokenCounts } from '../../src/jwt/counts.ts';
import { TokenIssuer } from '../../src/jwt/issuer.ts';
import { JwtSvids } from '../../src/jwt/jwt-svids.ts';
import { Turns } from '../../src/limits/turns.ts';
import { openRegistry } from '../../src/registry/registry.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import type { Entry, EntryInput } from '../../src/registry/types.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { input, SILENT, TRUST_DOMAIN } from '../registry/support.ts';
import { AgentClient, type Identity, type Joined } from '../support/agent-client.ts';
import { TestClock } from '../support/clock.ts';
import { tempDir } from '../support/temp-dir.ts';

export const HOUR = 3_600_000;
export const LOCAL = 'spiffe://ilinux.io/sidekey/agent/local';
export const SERVER = 'spiffe://ilinux.io/spire/server';

export interface Options {
  readonly popCaFile?: string;
  readonly maxConnections?: number;
  /** Seconds. */
  readonly agentTtl?: number;
  readonly dir?: string;
}

export async function openPort(t: TestContext, options: Options = {}) {
  const dir = options.dir ?? tempDir(t);
  // OpenSSL goes by the true time.
  const clock = new TestClock(Math.floor(Date.now() / 1000) * 1000);
  const store = openSqliteStore({ path: path.join(dir, 'sidekey.db'), trustDomain: TRUST_DOMAIN });
  const registry = await openRegistry({ store, trustDomain: TRUST_DOMAIN, clock, log: SILENT, hasAgents: true });
  const ca = await openCertificateAuthority({
    ...{ trustDomain: TRUST_DOMAIN, dir: path.join(dir, 'ca'), clock, log: SILENT, issuanceLog: store.issuances },
    ...{ caTtl: 86_400, rootTtl: 31_536_000, rootPublishTime: 86_400, rootAckTimeout: 0, rootAckPolicy: 'continue' },
    ...{ x509SvidTtl: 3_600, x509SvidKeyType: 'ec-p256', caKeyType: 'ec-p256', caSubject: 'O=Test' },
    jwt: { keyType: 'ec-p256', keyTtl: 86_400, publishBefore: 900 },
  });
  const counters = new Counters();
  const jwtSvids = new JwtSvids({
    source: new TokenIssuer({ ca, issuanceLog: store.issuances, clock, issuer: undefined }),
    ...{ issuances: store.issuances, clock, log: SILENT },
    ...{ counts: new TokenCounts(), counters, jwtSvidTtl: 300, maxJwtAudiences: 32 },
    ...{ maxJwtSvidsPerSecondPerId: 50, maxCachedJwtSvidsPerId: 100 },
  });
  const refusals: Refusal[] = [];
  const counts = new AgentCounts();
  const port = await startAgentPort({
    ...{ listen: { host: '127.0.0.1', port: 0 }, registry, ca, jwtSvids, popCaFile: options.popCaFile },
    ...{
      agentTtl: options.agentTtl ?? 3_600,
      x509SvidTtl: 3_600,
      jwtSvidTtl: 300,
      maxConnections: options.maxConnections ?? 100,
    },
    ...{ turns: new Turns(), counts, counters, clock, log: SILENT },
    onRefused: (refusal) => refusals.push(refusal),
  });
  let isClosed = false;
  const close = async () => {
    if (isClosed) return;
    isClosed = true;
    const closing = port.close();
    // The wire waits for its clients by this clock.
    clock.advance(3_000);
    await closing;
    await jwtSvids.close();
    await ca.close();
    await registry.close();
    await store.close();
  };
  t.after(close);
  const number = port.address.port;
  const roots = () => ca.bundle().authoritiesPem;
  const client = (as?: Identity) => new AgentClient(t, number, roots(), as);
  /** An agent that has joined with a new token. */
  const join = async (alias = ''): Promise<{ joined: Joined; agent: AgentClient }> => {
    const { text } = await registry.agents.createToken({
      expiresAt: clock.now() + HOUR,
      alias: alias as Entry['spiffeId'] & '',
    });
    const joined = await client().attest('join_token', text);
    return { joined, agent: client(joined) };
  };
  const entry = async (name: string, parentId: string, more: Partial<EntryInput> = {}): Promise<Entry> => {
    const [made] = await registry.create([input(name, [`unix:path:/bin/${name}`], { parentId, ...more })], 'api');
    return made!;
  };
  return { registry, ca, clock, store, counts, refusals, port, number, roots, client, join, entry, close, dir };
}
