/** Node attestation: the agent proves which host it is, and gets its SVID and the roots of its trust domain. */

import type { Clock } from '../base/index.ts';
import { AttestAgentRequest, AttestAgentResponse } from '../gen/spire/api/server/agent.ts';
import { GetBundleRequest } from '../gen/spire/api/server/bundle.ts';
import { Bundle } from '../gen/spire/api/types.ts';
import type { TrustBundle, TrustDomain } from '../spiffe/index.ts';
import { bundleOf } from './bundles.ts';
import { Connection, type ServerAddress } from './connection.ts';
import { Failure } from './failure.ts';
import { ATTEST_MS, CALL_MS } from './limits.ts';
import { acceptSvid, type OwnSvid, requestSvid } from './own-svid.ts';
import { API } from './paths.ts';
import type { Proof } from './proof/types.ts';

export interface AttestParts {
  readonly server: ServerAddress;
  readonly trustDomain: TrustDomain;
  /** PEM. */
  readonly roots: string;
  readonly clock: Clock;
}

export interface Attested {
  readonly svid: OwnSvid;
  readonly bundle: TrustBundle;
}

/** @throws Failure */
export async function attest(proof: Proof, { server, trustDomain, roots, clock }: AttestParts): Promise<Attested> {
  const connection = new Connection({ server, trustDomain, roots, pings: false, now: () => clock.now() });
  try {
    const requested = await requestSvid();
    const call = connection.converse(API.attest, AttestAgentRequest, AttestAgentResponse, ATTEST_MS);
    const data = { type: proof.type, payload: Buffer.from(proof.payload) };
    call.send({ params: { data, params: { csr: requested.csr } }, challengeResponse: undefined });
    const { result } = await answerChallenges(call, proof);
    call.cancel();
    const message = await connection.ask(API.bundle, GetBundleRequest, Bundle, { outputMask: undefined }, CALL_MS);
    const bundle = bundleOf(message, trustDomain).bundle;
    const { svid, reattestable } = result;
    const terms = { trustDomain, id: undefined, reattestable, now: clock.now(), roots: bundle.x509Authorities };
    return { svid: acceptSvid({ svid, requested, ...terms }), bundle };
  } finally {
    connection.close();
  }
}

async function answerChallenges(
  call: { send(message: AttestAgentRequest): boolean; next(): Promise<AttestAgentResponse | undefined> },
  proof: Proof,
): Promise<{ readonly result: NonNullable<AttestAgentResponse['result']> }> {
  let isAnswered = false;
  for (;;) {
    const answer = await call.next();
    if (answer === undefined) throw Failure.protocol('the attestation ended without a result');
    const { result, challenge } = answer;
    if (result !== undefined) return { result };
    // Both attestors have one challenge at most.
    if (challenge === undefined || isAnswered)
      throw Failure.protocol('an attestation has one challenge, then a result');
    isAnswered = true;
    try {
      call.send({ params: undefined, challengeResponse: Buffer.from(proof.respond(challenge)) });
    } catch (error) {
      throw Failure.protocol((error as Error).message);
    }
  }
}
