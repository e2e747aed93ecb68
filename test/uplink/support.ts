/** An agent's connection in this process, with a mirror that keeps all that it is told. */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import pino from 'pino';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { SystemClock } from '../../src/base/clock.ts';
import type { SidekeyError } from '../../src/base/errors.ts';
import { makeCsr } from '../../src/ca/csr-writer.ts';
import { generateEcKeyPair } from '../../src/ca/key-pair.ts';
import type { Entry } from '../../src/registry/types.ts';
import type { TrustBundle } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain, type TrustDomain } from '../../src/spiffe/id.ts';
import { openUplink } from '../../src/uplink/open.ts';
import type { Mirror, NodeAttestation, Uplink, UplinkOptions } from '../../src/uplink/types.ts';
import { tempDir } from '../support/temp-dir.ts';

export const TRUST_DOMAIN: TrustDomain = parseTrustDomain('ilinux.io');

/** Keeps what the uplink says. */
export class Kept implements Mirror {
  readonly byId = new Map<string, Entry>();
  readonly bundles = new Map<string, TrustBundle>();
  readonly calls: string[] = [];
  authority: Parameters<Mirror['authorities']>[0] | undefined;
  alias: Parameters<Mirror['aliases']>[0] = [];
  revoked: Parameters<Mirror['revocations']>[0] | undefined;
  replacements = 0;

  entries({ whole, put, gone }: Parameters<Mirror['entries']>[0]): void {
    this.calls.push(`entries${whole ? ' whole' : ''} ${put.length} ${gone.length}`);
    if (whole) this.byId.clear();
    for (const entry of put) this.byId.set(entry.id, entry);
    for (const id of gone) this.byId.delete(id);
  }

  bundle(bundle: TrustBundle): void {
    this.calls.push(`bundle ${bundle.trustDomain}`);
    this.bundles.set(bundle.trustDomain, bundle);
  }

  bundleGone(trustDomain: TrustDomain): void {
    this.calls.push(`bundle gone ${trustDomain}`);
    this.bundles.delete(trustDomain);
  }

  authorities(state: Parameters<Mirror['authorities']>[0]): void {
    this.authority = state;
  }

  aliases(aliases: Parameters<Mirror['aliases']>[0]): void {
    this.alias = aliases;
  }

  revocations(state: Parameters<Mirror['revocations']>[0]): void {
    this.revoked = state;
  }

  replaced(): void {
    this.replacements += 1;
  }

  get ids(): string[] {
    return [...this.byId.values()].map(({ spiffeId }) => spiffeId).sort();
  }
}

export interface Opened {
  readonly uplink: Uplink;
  readonly mirror: Kept;
  readonly dataDir: string;
  /** Lines of the log so far. */
  readonly log: Record<string, unknown>[];
  readonly fatal: Promise<SidekeyError>;
}

export interface OpenOptions extends Partial<Omit<UplinkOptions, 'mirror' | 'log' | 'fatal'>> {
  readonly ports?: readonly number[];
  /** PEM. */
  readonly bundle?: string;
  readonly token?: string;
  readonly mirror?: Kept;
  readonly signal?: AbortSignal;
  readonly log?: Record<string, unknown>[];
}

/** Opens an uplink, which the test closes at its end. */
export async function open(t: TestContext, given: OpenOptions): Promise<Opened> {
  const { ports = [], bundle, token, mirror = new Kept(), signal, log = [], ...more } = given;
  const dataDir = given.dataDir ?? tempDir(t);
  const { promise: fatal, resolve } = Promise.withResolvers<SidekeyError>();
  const trust = bundle === undefined ? given.trust : { file: path.join(tempDir(t), 'bundle.pem') };
  if (bundle !== undefined) writeFileSync((trust as { file: string }).file, bundle);
  const attestation: NodeAttestation | undefined = token === undefined ? undefined : { type: 'join_token', token };
  const write = (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>);
  const uplink = await openUplink(
    {
      ...{ trustDomain: TRUST_DOMAIN, servers: ports.map((port) => ({ host: '127.0.0.1', port })) },
      ...{ attestation, syncInterval: 100, clock: new SystemClock() },
      answer: async () => ({ status: 404, body: Buffer.from('{}') }),
      ...more,
      ...{ dataDir, trust, mirror, fatal: resolve, log: pino({ level: 'debug' }, { write }) },
    },
    signal,
  );
  t.after(() => uplink.close());
  return { uplink, mirror, dataDir, log, fatal };
}

/** Waits until the condition holds. */
export function until(what: string, holds: () => boolean, within = 20_000): Promise<unknown> {
  return wait(what, { look: async () => holds(), until: Boolean, within });
}

/** A request for a certificate of a new key. */
export async function request(entryId: string): Promise<{ entryId: string; csr: Buffer }> {
  return { entryId, csr: await makeCsr(generateEcKeyPair()) };
}
