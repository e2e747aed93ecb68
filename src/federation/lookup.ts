/** The look-up of an endpoint's host, by the rules for addresses: the socket connects to what was checked here. */

import dns, { type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { Slots } from '../limits/index.ts';
import type { AddressRules } from './addresses.ts';
import { FetchError } from './fetch-error.ts';

/** Resolves all addresses of a name. */
export type Resolve = (
  host: string,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

const systemResolve: Resolve = (host, callback) => dns.lookup(host, { all: true, verbatim: true }, callback);

/**
 * Maximum number of look-ups at once. getaddrinfo(3) blocks a thread of the pool that also signs certificates; a partner's
 * slow name server must not take all of them.
 */
const MOST_LOOKUPS = 2;
const slots = new Slots(MOST_LOOKUPS);
/** For endpoints that were slow lately: a partner can make its name server slow, and a look-up can't be cancelled. */
const slowSlots = new Slots(1);

export interface LookupOptions {
  /** By default the system's resolver. */
  readonly resolve?: Resolve | undefined;
  /** Ends the fetch: a look-up that has not begun is not done. */
  readonly signal: AbortSignal;
  readonly isSlow: boolean;
}

export function guardedLookup(
  rules: AddressRules,
  { resolve = systemResolve, signal, isSlow }: LookupOptions,
): LookupFunction {
  return (host, options, callback) => {
    const fail = (error: Error) => callback(error as NodeJS.ErrnoException, []);
    void (isSlow ? slowSlots : slots).enter().then((leave) => {
      if (signal.aborted) {
        leave();
        return;
      }
      resolve(host, (error, addresses) => {
        leave();
        if (error !== null) {
          fail(new FetchError('connection', `${host} has no address (${error.code ?? 'the look-up failed'})`));
          return;
        }
        const allowed = addresses.filter(({ address }) => rules.refusal(address) === undefined);
        const [first] = allowed;
        if (first === undefined) fail(refused(host, addresses, rules));
        else if (options.all === true) callback(null, allowed);
        else callback(null, first.address, first.family);
      });
    });
  };
}

/** @throws FetchError if the host of a URL is an address, for which there is no look-up, and the rules refuse it */
export function checkLiteral(hostname: string, rules: AddressRules): void {
  const address = hostname.replace(/^\[|\]$/g, '');
  if (!/^[\d.]+$/.test(address) && !address.includes(':')) return;
  const refusal = rules.refusal(address);
  if (refusal !== undefined) throw new FetchError('address', refusal, ALLOW);
}

const ALLOW = 'if the endpoint is meant to be there, start the server with --federation-allow and its network';

function refused(host: string, addresses: readonly LookupAddress[], rules: AddressRules): FetchError {
  const [first] = addresses;
  const why = first === undefined ? 'it has no address' : rules.refusal(first.address);
  return new FetchError('address', `${host} may not be asked: ${why}`, ALLOW);
}
