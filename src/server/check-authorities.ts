/** `serve --check`: the stored authorities and the upstream, and what a start would do with them. */

import type { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { isValidAt, SidekeyError, SystemClock } from '../base/index.ts';
import { hasAuthorities, inspectAuthorities, inspectJwtKeys, openUpstream, type Passphrases } from '../ca/index.ts';
import type { ServeConfig } from '../config/index.ts';
import { createLog } from '../telemetry/index.ts';
import type { Parts } from './parts.ts';

type Stored = Awaited<ReturnType<typeof inspectAuthorities>>;

/** The upstream of the settings as a start would find it. */
export interface UpstreamCheck {
  readonly description: string;
  readonly isOffline: boolean;
  /** What was found good. */
  readonly found: string | undefined;
  /** Why it can not sign now. A start goes on: it requests an intermediate in the background until it gets one. */
  readonly fault: SidekeyError | undefined;
  /** The roots under which it signs; undefined if only an answer says that. */
  readonly roots: readonly X509Certificate[] | undefined;
}

/** Undefined if own roots sign. @throws the errors that `openUpstream` throws at a start too */
export async function checkUpstream(config: ServeConfig, parts: Parts): Promise<UpstreamCheck | undefined> {
  if (config.offlineRoot) {
    return { description: 'an offline root', isOffline: true, found: undefined, fault: undefined, roots: undefined };
  }
  const upstream = await openUpstream(config, { ...config, clock: new SystemClock(), log: createLog('silent') });
  if (upstream === undefined) return undefined;
  parts.own(upstream);
  const { description } = upstream;
  const checked = await upstream.check().then(
    (found) => ({ found, fault: undefined }),
    (thrown: unknown) => ({ found: undefined, fault: SidekeyError.from(thrown, 'ERR_UPSTREAM') }),
  );
  const roots = await upstream.trusted().catch(() => undefined);
  return { description, isOffline: false, ...checked, roots };
}

export interface AuthoritiesCheck {
  readonly lines: readonly string[];
  /** When the last stored intermediate that may sign ends, in milliseconds since the epoch; undefined: none may. */
  readonly signsUntil: number | undefined;
}

/** What a start would do with the stored authorities. @throws ERR_CA if one is unusable */
export async function checkAuthorities(
  config: ServeConfig,
  directory: string,
  passphrases: Passphrases,
  upstream: UpstreamCheck | undefined,
): Promise<AuthoritiesCheck> {
  const { trustDomain, caKeyType, jwtKeyType } = config;
  const options = { trustDomain, ...passphrases };
  const stored = await inspectAuthorities(directory, options);
  const jwtKeys = await inspectJwtKeys(directory, options);
  const lines = hasAuthorities(directory) ? [...sourceLines(stored, upstream)] : [firstLine(directory, upstream)];
  const rewritten = [...stored, ...jwtKeys].filter(({ isCurrent }) => !isCurrent).length;
  if (rewritten > 0) {
    const how =
      passphrases.passphrase === undefined ? 'decrypted' : 'encrypted with the passphrase of --key-passphrase-file';
    lines.push(`keys in ${directory} that would be ${how}: ${rewritten}`);
  }
  for (const { authority, state } of stored) {
    const { role, keyType } = authority;
    // The key of an upstream's root is not Sidekey's to replace.
    if (state !== 'active' || keyType === caKeyType || authority.privateKey === undefined) continue;
    const command = `sidekey ca rotate${role === 'root' ? ' --root' : ''}`;
    lines.push(`the ${role} keeps its ${keyType} key; the next one gets an ${caKeyType} key: ${command}`);
  }
  for (const { keyType, state } of jwtKeys) {
    if (state !== 'active' || keyType === jwtKeyType) continue;
    lines.push(`JWT-SVIDs are signed with a key of the type ${keyType}; new keys have the type ${jwtKeyType}`);
  }
  return { lines, signsUntil: signsUntil(stored) };
}

function firstLine(directory: string, upstream: UpstreamCheck | undefined): string {
  if (upstream === undefined) return 'a new root and intermediate would be created';
  if (!upstream.isOffline) return `a new intermediate would be requested from the upstream (${upstream.description})`;
  const request = path.join(directory, 'request.csr');
  return existsSync(request)
    ? `the request ${request} waits for the offline root's answer: sidekey ca import FILE`
    : `a request to the offline root would be written to ${request}`;
}

/** Says that a start would publish a root that peers do not know yet. */
function* sourceLines(stored: Stored, upstream: UpstreamCheck | undefined): Iterable<string> {
  const roots = stored.filter(({ authority: { role }, state }) => {
    return role === 'root' && state !== 'retired' && state !== 'tainted';
  });
  const own = roots.filter(({ authority }) => authority.privateKey !== undefined);
  const others = roots.filter(({ authority }) => authority.privateKey === undefined);
  const namesOf = (some: Stored) => some.map(({ authority }) => authority.subject).join('; ');
  const [before, after] =
    upstream === undefined
      ? [others, own.length === 0 ? 'own roots' : undefined]
      : [own, others.length === 0 ? upstream.description : undefined];
  if (before.length > 0 && after !== undefined) {
    const from = upstream === undefined ? `an upstream authority (${namesOf(before)})` : 'own roots';
    yield `the upstream changes from ${from} to ${after}: a new root would be published`;
    return;
  }
  const prints = new Set(others.map(({ authority }) => authority.certificate.fingerprint256));
  const known = upstream?.roots ?? [];
  if (known.length === 0 || others.length === 0 || known.some(({ fingerprint256 }) => prints.has(fingerprint256)))
    return;
  const names = known.map(({ subject }) => subject.replaceAll('\n', ',')).join('; ');
  yield `the upstream has another root (${names}) than the stored one (${namesOf(others)}): a new root would be published`;
}

/** What a start waits for: a stored intermediate signs meanwhile, under whatever root peers have. */
function signsUntil(stored: Stored): number | undefined {
  const now = Date.now();
  const usable = stored.filter(({ authority, state }) => {
    return authority.role === 'intermediate' && state !== 'tainted' && isValidAt(authority, now);
  });
  return usable.length === 0 ? undefined : Math.max(...usable.map(({ authority }) => authority.notAfter));
}

/**
 * What a fault of the upstream means for a start, which goes on in any case.
 * @param signsUntil of {@link AuthoritiesCheck}; undefined also if the stored authorities could not be read
 */
export function meaningOf({ fault }: UpstreamCheck, signsUntil: number | undefined): string | undefined {
  if (fault === undefined) return undefined;
  return signsUntil === undefined
    ? 'the server would start, but issue no certificate until the upstream has signed an intermediate'
    : `the server would start and sign with the stored intermediate, which ends at ${new Date(signsUntil).toISOString()}`;
}
