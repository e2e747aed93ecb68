/**
 * The token of a Vault: read from a file or got by an AppRole login, renewed at half of its lease, and replaced by a
 * new one when the lease has ended. Failures are retried until the end of the lease; the last one is the session's
 * problem.
 */

import { backoff, type Clock, type Deadline } from '../../base/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { readSecretFile } from './files.ts';
import { askVault, VaultError, type VaultServer } from './vault-client.ts';

/** Where the token comes from. The files are read at each login, so secrets can be replaced. */
export type VaultAuth =
  | { readonly method: 'token'; readonly tokenFile: string }
  | {
      readonly method: 'approle';
      /** Where AppRole is mounted: `approle`. */
      readonly mount: string;
      readonly roleIdFile: string;
      readonly secretIdFile: string;
    };

export interface VaultSessionOptions {
  readonly server: VaultServer;
  readonly auth: VaultAuth;
  /** For the log. */
  readonly description: string;
  readonly clock: Clock;
  readonly log: Log;
}

interface Lease {
  readonly token: string;
  readonly isRenewable: boolean;
  /** In milliseconds since the epoch; Infinity for a token that does not end. */
  readonly endsAt: number;
}

/** Of one request in the background, in milliseconds. */
const REQUEST_MS = 10_000;
/** Of the request that ends the token when Sidekey stops, in milliseconds. */
const REVOKE_MS = 1_000;
/** A lease with less than this left is not renewed, in milliseconds. */
const SHORT_MS = 2_000;
/** Time between failed logins in the background, in milliseconds. */
/** Leases may be shorter than any use of them, in milliseconds. */
const LEAST_WAIT_MS = 1_000;
const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 300_000;

export class VaultSession {
  readonly #options: VaultSessionOptions;
  readonly #ended = new AbortController();
  #lease: Lease | undefined;
  #login: Promise<Lease> | undefined;
  #problem: string | undefined;
  /** Failed logins in the background since the last one that succeeded. */
  #failures = 0;
  #next: Deadline | undefined;

  constructor(options: VaultSessionOptions) {
    this.#options = options;
  }

  /** Logs in, in the background: a token in a file may have to be renewed before it is needed. */
  start(): void {
    void this.#keep();
  }

  problem(): string | undefined {
    return this.#problem;
  }

  /** A token whose lease has not ended. @throws {Error} if there is none and none can be got */
  async token(): Promise<string> {
    const lease = this.#current() ?? (await this.#logIn());
    return lease.token;
  }

  /**
   * Asks the server whether the token is still valid, and drops it if not, so that the next {@link token} is a new one.
   */
  async isGood(token: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#ask('GET', 'auth/token/lookup-self', { token, signal });
      return true;
    } catch (error) {
      if (!(error instanceof VaultError && error.status === 403)) throw error;
      if (this.#lease?.token === token) this.#lease = undefined;
      return false;
    }
  }

  /** Revokes the token of a login. */
  async close(): Promise<void> {
    this.#next?.cancel();
    this.#ended.abort(new Error('Sidekey stops'));
    await this.#login?.catch(() => undefined);
    const { auth } = this.#options;
    const lease = this.#current();
    this.#lease = undefined;
    if (auth.method !== 'approle' || lease === undefined) return;
    const signal = AbortSignal.timeout(REVOKE_MS);
    const asked = { method: 'POST', path: 'auth/token/revoke-self', token: lease.token, signal } as const;
    await askVault(this.#options.server, asked).catch(() => undefined);
  }

  #current(): Lease | undefined {
    return this.#lease !== undefined && this.#options.clock.now() < this.#lease.endsAt ? this.#lease : undefined;
  }

  /** Logs in once at a time. */
  #logIn(): Promise<Lease> {
    this.#login ??= this.#newLease()
      .then((lease) => {
        this.#lease = lease;
        this.#failures = 0;
        this.#solved();
        this.#keepLater();
        return lease;
      })
      .finally(() => {
        this.#login = undefined;
      });
    return this.#login;
  }

  async #newLease(): Promise<Lease> {
    const { auth } = this.#options;
    if (auth.method === 'approle') {
      const body = { role_id: readSecretFile(auth.roleIdFile), secret_id: readSecretFile(auth.secretIdFile) };
      const path = `auth/${auth.mount}/login`;
      const answer = await this.#ask('POST', path, { body }).catch((error: unknown) => {
        throw new Error(`the AppRole login (${path}) failed: ${(error as Error).message}`, { cause: error });
      });
      return this.#leaseOf(answer, undefined);
    }
    const token = readSecretFile(auth.tokenFile);
    try {
      const { data } = await this.#ask('GET', 'auth/token/lookup-self', { token });
      const { ttl, renewable } = record(data);
      return { token, isRenewable: renewable === true, endsAt: this.#endOf(ttl) };
    } catch (error) {
      if (error instanceof VaultError && error.status === 403) {
        throw new Error(
          `the token in ${auth.tokenFile} is not accepted: ${error.message}; put a new one into the file`,
          {
            cause: error,
          },
        );
      }
      throw error;
    }
  }

  /** `before`: the token that was renewed. */
  #leaseOf(answer: Readonly<Record<string, unknown>>, before: string | undefined): Lease {
    const { client_token: token = before, lease_duration: duration, renewable } = record(answer.auth);
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
      throw new Error('its answer to the login has no token');
    return { token, isRenewable: renewable === true, endsAt: this.#endOf(duration) };
  }

  /** `seconds`: the rest of a lease; 0: it does not end. */
  #endOf(seconds: unknown): number {
    if (typeof seconds !== 'number' || !(seconds >= 0)) throw new Error('its answer has no lease duration');
    return seconds === 0 ? Number.POSITIVE_INFINITY : this.#options.clock.now() + seconds * 1000;
  }

  /** Renews the lease or, when there is none, logs in; and again when that is due. */
  async #keep(): Promise<void> {
    const lease = this.#current();
    try {
      if (lease === undefined) await this.#logIn();
      else if (lease.isRenewable && lease.endsAt - this.#options.clock.now() > SHORT_MS) await this.#renew(lease);
    } catch (error) {
      if (this.#ended.signal.aborted) return;
      if (lease === undefined) this.#failures += 1;
      const what = lease === undefined ? '' : 'the token could not be renewed: ';
      this.#failed(`${what}${(error as Error).message}`);
    }
    this.#keepLater();
  }

  async #renew(lease: Lease): Promise<void> {
    const answer = await this.#ask('POST', 'auth/token/renew-self', { token: lease.token, body: {} });
    const renewed = this.#leaseOf(answer, lease.token);
    // Another login may have come in between.
    if (this.#lease === lease) this.#lease = renewed;
    this.#solved();
  }

  #keepLater(): void {
    this.#next?.cancel();
    if (this.#ended.signal.aborted) return;
    const now = this.#options.clock.now();
    const lease = this.#current();
    if (lease?.endsAt === Number.POSITIVE_INFINITY) return;
    const left = (lease?.endsAt ?? now) - now;
    const wait =
      lease === undefined
        ? this.#failures && backoff(this.#failures, FIRST_RETRY_MS, LAST_RETRY_MS)
        : lease.isRenewable && left > SHORT_MS
          ? left / 2
          : left;
    this.#next = this.#options.clock.at(
      now + (lease === undefined ? wait : Math.max(wait, LEAST_WAIT_MS)),
      () => void this.#keep(),
    );
  }

  #failed(problem: string): void {
    const { log, description } = this.#options;
    if (problem !== this.#problem) log.error({ upstream: description, problem }, 'no token for the upstream');
    this.#problem = problem;
  }

  #solved(): void {
    const { log, description } = this.#options;
    if (this.#problem !== undefined) log.info({ upstream: description }, 'got a token for the upstream again');
    this.#problem = undefined;
  }

  #ask(
    method: 'GET' | 'POST',
    path: string,
    more: { token?: string; body?: Record<string, unknown>; signal?: AbortSignal },
  ): Promise<Readonly<Record<string, unknown>>> {
    const { signal = AbortSignal.timeout(REQUEST_MS), ...rest } = more;
    const signals = AbortSignal.any([signal, this.#ended.signal]);
    return askVault(this.#options.server, { method, path, ...rest, signal: signals });
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
