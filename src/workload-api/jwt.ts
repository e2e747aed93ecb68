/** FetchJWTSVID and ValidateJWTSVID. @see SPIFFE Workload API, section 6 */

import { SidekeyError } from '../base/index.ts';
import { type Asker, refuseCaller } from '../delivery/index.ts';
import { JWTSVIDRequest, JWTSVIDResponse, ValidateJWTSVIDRequest, ValidateJWTSVIDResponse } from '../gen/workload.ts';
import { type Caller, type Grant, type Held, type Identities, nothingFor } from '../identity/index.ts';
import {
  AudienceError,
  InvalidTokenError,
  type JwtSvid,
  type JwtSvids,
  shownClaims,
  validateJwtSvid,
} from '../jwt/index.ts';
import { LimitError } from '../limits/index.ts';
import { parseSpiffeId, SpiffeIdError, type TrustDomain } from '../spiffe/index.ts';
import { type Log, ownedLog } from '../telemetry/index.ts';
import { type Call, decodeRequest, type Message, Status, StatusError } from '../wire/index.ts';
import { hinted, inOrder } from './order.ts';
import { refusalOf } from './refusal.ts';
import type { StateParts } from './state-stream.ts';

export interface JwtParts extends StateParts {
  readonly jwtSvids: Pick<JwtSvids, 'sign' | 'checkAudiences'>;
}

/** One token for each identity of the caller, or for the one that it asks for. @throws StatusError, LimitError */
export function fetchJwtSvid(call: Call, bytes: Uint8Array, parts: JwtParts): Promise<Message> {
  const { audience, spiffeId } = decodeRequest(JWTSVIDRequest, 'JWTSVIDRequest', bytes);
  return answering(call, parts, async (asker, log) => {
    const { identities, jwtSvids } = parts;
    const { caller } = asker;
    jwtSvids.checkAudiences(audience);
    const asked = readAsked(spiffeId);
    if (!caller.attested) await call.untilEnd(caller.attestAfter(0));
    const grants = asked === undefined ? inOrder(caller.entries) : [caller.entryFor(asked)].filter(isThere);
    if (grants.length === 0) {
      const held = asked === undefined ? nothingFor(caller) : identities.explain(caller, asked);
      throw refusalOf(held, asker, parts, log);
    }
    const signed = await call.untilEnd(Promise.all(grants.map((grant) => tokenOf(grant, audience, caller, parts))));
    const found = signed.filter((one): one is Signed => !('reason' in one));
    const [failed] = signed.filter((one): one is Held => 'reason' in one);
    if (found.length === 0) throw refusalOf(failed!, asker, parts, log);
    asker.peer.verify();
    const svids = hinted(found).map(({ svid, hint }) => ({ spiffeId: svid.spiffeId, svid: svid.token, hint }));
    return JWTSVIDResponse.encode(JWTSVIDResponse.fromPartial({ svids })).finish();
  });
}

/** The identity and the claims of a token that one of the caller's bundles verifies. @throws StatusError, LimitError */
export function validateJwt(call: Call, bytes: Uint8Array, parts: JwtParts): Promise<Message> {
  const { audience, svid } = decodeRequest(ValidateJWTSVIDRequest, 'ValidateJWTSVIDRequest', bytes);
  return answering(call, parts, async (asker, log) => {
    const { identities, clock } = parts;
    const { caller } = asker;
    if (!caller.attested) await call.untilEnd(caller.attestAfter(0));
    const own = identities.bundle(caller);
    if ('reason' in own) throw refusalOf(own, asker, parts, log);
    const bundles = { get: (trustDomain: TrustDomain) => bundleOf(identities, caller, trustDomain) };
    const validated = validateJwtSvid(svid, audience, bundles, clock.now());
    const claims = shownClaims(validated, identities.trustDomain);
    const response = ValidateJWTSVIDResponse.fromPartial({ spiffeId: validated.spiffeId, claims });
    return ValidateJWTSVIDResponse.encode(response).finish();
  });
}

function bundleOf(identities: Identities, caller: Caller, trustDomain: TrustDomain) {
  const bundle = identities.bundle(caller, trustDomain);
  return 'reason' in bundle ? undefined : bundle;
}

function readAsked(text: string) {
  if (text === '') return undefined;
  try {
    return parseSpiffeId(text);
  } catch (error) {
    if (!(error instanceof SpiffeIdError)) throw error;
    throw new StatusError(Status.INVALID_ARGUMENT, `invalid requested SPIFFE ID: ${error.problem}`);
  }
}

interface Signed {
  readonly svid: JwtSvid;
  readonly entry: Grant;
}

/** As for X.509-SVIDs: a caller gets a token only if it was attested after the token's issuance began. */
async function tokenOf(
  entry: Grant,
  audiences: readonly string[],
  caller: Caller,
  { identities, jwtSvids }: JwtParts,
): Promise<Signed | Held> {
  const lapsed = identities.explainLapse(caller, entry);
  if (lapsed !== undefined) return lapsed;
  try {
    const svid = await identities.token(caller, entry, () =>
      jwtSvids.sign({ spiffeId: entry.spiffeId, entry, audiences }),
    );
    if (svid !== undefined) return { svid, entry };
    return { reason: 'issuance-failed', detail: 'the entry, or the facts of the caller, changed during issuance' };
  } catch (error) {
    if (!(error instanceof SidekeyError) || (error.code !== 'ERR_CA' && error.code !== 'ERR_STORE')) throw error;
    return { reason: 'issuance-failed', detail: error.message };
  }
}

function isThere(grant: Grant | undefined): grant is Grant {
  return grant !== undefined;
}

/** Turns what the work throws into the status of the call. */
async function answering(
  call: Call,
  parts: JwtParts,
  work: (asker: Asker, log: Log) => Promise<Message>,
): Promise<Message> {
  const { peer } = call;
  const asker = { peer, caller: parts.identities.caller(peer), node: undefined };
  const { pid, uid } = peer.credentials;
  const log = ownedLog(parts.log, peer.owner.name, { peer: peer.id, pid, uid });
  try {
    return await work(asker, log);
  } catch (error) {
    if (error instanceof StatusError || error instanceof LimitError) throw error;
    if (error instanceof AudienceError || error instanceof InvalidTokenError) {
      throw new StatusError(Status.INVALID_ARGUMENT, error.message);
    }
    throw refuseCaller(SidekeyError.from(error), asker, parts.decisions, log);
  }
}
