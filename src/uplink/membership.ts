/** The agent's place in its trust domain: its SVID, the roots of its servers, and how it gets both. Kept in the state file. */

import { type Clock, SidekeyError } from '../base/index.ts';
import { RenewAgentRequest, RenewAgentResponse } from '../gen/spire/api/server/agent.ts';
import type { TrustBundle, TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { attest } from './attest.ts';
import type { Connection, ServerAddress } from './connection.ts';
import { ATTEST_MS } from './limits.ts';
import { acceptSvid, type OwnSvid, requestSvid } from './own-svid.ts';
import { API } from './paths.ts';
import { joinTokenProof } from './proof/join-token.ts';
import type { Proof } from './proof/types.ts';
import { x509popProof } from './proof/x509pop.ts';
import { type KeptBundle, StateFile } from './state.ts';
import { bootstrapRoots, pemBlock } from './trust.ts';
import type { NodeAttestation, ServerTrust } from './types.ts';

export interface MembershipParts {
  readonly dataDir: string;
  readonly trustDomain: TrustDomain;
  readonly trust: ServerTrust | undefined;
  readonly attestation: NodeAttestation | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class Membership {
  readonly #parts: Omit<MembershipParts, 'attestation'>;
  readonly #file: StateFile;
  /** Undefined: there is none, or its token was used. */
  #attestation: NodeAttestation | undefined;
  #svid: OwnSvid | undefined;
  #bundle: KeptBundle | undefined;
  #joinedInsecurely = false;

  /** Reads the state file. @throws ERR_DATA_DIR */
  constructor({ attestation, ...parts }: MembershipParts) {
    this.#parts = parts;
    this.#attestation = attestation;
    this.#file = new StateFile(parts.dataDir, parts.trustDomain);
    const kept = this.#file.read();
    if (kept === undefined) return;
    this.#svid = kept.svid;
    this.#bundle = kept.bundle;
    this.#joinedInsecurely = kept.joinedInsecurely;
  }

  get svid(): OwnSvid | undefined {
    return this.#svid;
  }

  get joinedInsecurely(): boolean {
    return this.#joinedInsecurely;
  }

  /** Certificates that a server's must be under, PEM; undefined: none are kept. */
  get roots(): string | undefined {
    return this.#bundle?.roots.map(pemBlock).join('');
  }

  get canAttest(): boolean {
    return this.#attestation !== undefined;
  }

  get attestsBy(): NodeAttestation['type'] | undefined {
    return this.#attestation?.type;
  }

  /** Notes the own bundle that a server sent. The file is written when its roots change. */
  noteBundle({ x509Authorities: roots, sequenceNumber }: TrustBundle): void {
    const before = this.#bundle?.roots ?? [];
    const isSame = before.length === roots.length && roots.every((root, at) => root.equals(before[at]!));
    this.#bundle = { roots, sequenceNumber };
    if (!isSame) this.#keep();
  }

  /** Gets a first SVID, or another one. @throws ERR_CONFIG, ERR_ATTACH; Failure */
  async attest(server: ServerAddress): Promise<void> {
    const { trustDomain, clock } = this.#parts;
    const roots = await this.#rootsFor(server);
    const proof = await this.#proof();
    const { svid, bundle } = await attest(proof, { server, trustDomain, roots, clock });
    // A token works once.
    if (proof.type === 'join_token') this.#attestation = undefined;
    this.#svid = svid;
    this.#bundle = { roots: bundle.x509Authorities, sequenceNumber: bundle.sequenceNumber };
    this.#keep();
  }

  /** Gets the next SVID. @throws Failure */
  async renew(connection: Connection): Promise<void> {
    const { trustDomain, clock } = this.#parts;
    const present = this.#svid!;
    const requested = await requestSvid();
    const request = { params: { csr: requested.csr } };
    const { svid } = await connection.ask(API.renew, RenewAgentRequest, RenewAgentResponse, request, ATTEST_MS);
    const roots = this.#bundle?.roots ?? [];
    const { id, reattestable } = present;
    this.#svid = acceptSvid({ ...{ svid, requested, roots, trustDomain, id, reattestable }, now: clock.now() });
    this.#keep();
  }

  async #rootsFor(server: ServerAddress): Promise<string> {
    const { roots } = this;
    if (roots !== undefined) return roots;
    const { trust, trustDomain, clock, log } = this.#parts;
    if (trust === undefined) {
      throw new SidekeyError(
        'ERR_CONFIG',
        'nothing says which server to believe: give --trust-bundle FILE, --trust-bundle-url URL or --insecure-bootstrap. On the server, sidekey bundle show prints the file',
      );
    }
    const found = await bootstrapRoots(trust, server, { trustDomain, now: () => clock.now(), log });
    this.#joinedInsecurely = 'insecure' in trust;
    if (this.#joinedInsecurely) {
      log.warn(
        { server: `${server.host}:${server.port}` },
        'the server is believed without a proof (--insecure-bootstrap): anybody on the way to it could be it. Give --trust-bundle instead',
      );
    }
    return found;
  }

  #proof(): Promise<Proof> {
    const attestation = this.#attestation;
    if (attestation === undefined) {
      throw new SidekeyError(
        'ERR_CONFIG',
        'the agent has no SVID and nothing to join with: give --join-token-file FILE, or --x509pop-cert and --x509pop-key. On the server, sidekey agent token makes a token',
      );
    }
    return attestation.type === 'x509pop' ? x509popProof(attestation) : joinTokenProof(attestation);
  }

  /** A file that cannot be written is no reason to stop: the next change is written, too. */
  #keep(): void {
    const [svid, bundle] = [this.#svid, this.#bundle];
    if (svid === undefined || bundle === undefined) return;
    try {
      this.#file.write({ svid, bundle, joinedInsecurely: this.#joinedInsecurely });
    } catch (err) {
      this.#parts.log.error(
        { err },
        'the state of the agent cannot be kept: after a restart it may have to join again',
      );
    }
  }
}
