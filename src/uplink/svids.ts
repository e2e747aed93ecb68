/** Requests for the SVIDs and tokens of the host's workloads. */

import { status } from '@grpc/grpc-js';
import { type Clock, SidekeyError } from '../base/index.ts';
import {
  BatchNewX509SVIDRequest,
  BatchNewX509SVIDResponse,
  NewJWTSVIDRequest,
  NewJWTSVIDResponse,
} from '../gen/spire/api/server/svid.ts';
import { Slots } from '../limits/index.ts';
import type { Codec, Connection } from './connection.ts';
import { cleaned, Failure } from './failure.ts';
import { MAX_CHAIN, SVID_MS } from './limits.ts';
import { API } from './paths.ts';
import type { NewJwtSvid, NewSvid, Uplink } from './types.ts';

/** Requests in a batch, as SPIRE's and Sidekey's servers allow; batches at once. */
export const MOST_IN_BATCH = 500;
const BATCHES_AT_ONCE = 4;
/** Before the next try, if the server says that there are too many. */
const BUSY_MS = 500;
const MAX_TOKEN = 64 * 1024;

/** Whether another connection, or a later time, may help. */
const AGAIN: readonly (status | undefined)[] = [status.PERMISSION_DENIED, status.RESOURCE_EXHAUSTED];

export interface SvidRequestsParts {
  /** The connection, now or later. @param except a connection that has failed @throws SidekeyError after that time */
  readonly connected: (ms: number, except?: Connection) => Promise<Connection>;
  readonly clock: Clock;
}

export class SvidRequests {
  readonly #parts: SvidRequestsParts;
  readonly #batches = new Slots(BATCHES_AT_ONCE);

  constructor(parts: SvidRequestsParts) {
    this.#parts = parts;
  }

  async newSvids(requests: Parameters<Uplink['newSvids']>[0]): Promise<NewSvid[]> {
    if (requests.length > MOST_IN_BATCH) throw new RangeError(`a batch has at most ${MOST_IN_BATCH} requests`);
    if (requests.length === 0) return [];
    const params = requests.map(({ entryId, csr }) => ({ entryId, csr: Buffer.from(csr) }));
    const leave = await this.#batches.enter();
    try {
      const { results } = await this.#ask(API.newSvids, BatchNewX509SVIDRequest, BatchNewX509SVIDResponse, { params });
      if (results.length !== requests.length) {
        throw refused(`it has ${results.length} answers to ${requests.length} requests`);
      }
      return results.map(readResult);
    } finally {
      leave();
    }
  }

  async newJwtSvid(entryId: string, audiences: readonly string[]): Promise<NewJwtSvid> {
    const request = { entryId, audience: [...audiences] };
    const { svid } = await this.#ask(API.newJwtSvid, NewJWTSVIDRequest, NewJWTSVIDResponse, request);
    if (svid === undefined || svid.token === '' || svid.token.length > MAX_TOKEN) throw refused('it has no token');
    const [issuedAt, expiresAt] = [Number(svid.issuedAt) * 1000, Number(svid.expiresAt) * 1000];
    return { token: svid.token, issuedAt, expiresAt };
  }

  /** Tries again on the next connection: that of a renewed SVID ends the use of the former. @throws ERR_CA */
  async #ask<Q, R>(path: string, request: Codec<Q>, response: Codec<R>, message: Q): Promise<R> {
    const end = performance.now() + SVID_MS;
    let failed: Connection | undefined;
    let last: Failure | undefined;
    for (;;) {
      const left = end - performance.now();
      const connection = await this.#parts.connected(left, failed).catch((error: unknown) => {
        throw last === undefined ? error : errorOf(last);
      });
      try {
        return await connection.ask(path, request, response, message, Math.max(left, 1));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        const again = error.kind === 'unreachable' || AGAIN.includes(error.code);
        if (!again || performance.now() >= end) throw errorOf(error);
        last = error;
        if (error.code === status.RESOURCE_EXHAUSTED) await this.#wait(BUSY_MS);
        else failed = connection;
      }
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.clock.after(ms, resolve);
    });
  }
}

function readResult({ status: told, svid }: BatchNewX509SVIDResponse['results'][number]): NewSvid {
  const { code = status.UNKNOWN, message = 'it says nothing' } = told ?? {};
  if (code !== status.OK) {
    return {
      fault: new SidekeyError('ERR_CA', `the server refuses an SVID (${status[code] ?? code}): ${cleaned(message)}`),
    };
  }
  if (svid === undefined || svid.certChain.length === 0) return { fault: refused('it has no certificate') };
  if (svid.certChain.length > MAX_CHAIN) return { fault: refused(`a chain has more than ${MAX_CHAIN} certificates`) };
  return { certificates: svid.certChain };
}

function refused(problem: string): SidekeyError {
  return new SidekeyError('ERR_CA', `the server's answer to a request for SVIDs is refused: ${problem}`);
}

function errorOf(failure: Failure): SidekeyError {
  return new SidekeyError('ERR_CA', failure.message, { cause: failure });
}
