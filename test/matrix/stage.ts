/** One run of the matrix: a Sidekey, an Envoy that asks it in one of the ways, and a client of that Envoy. */

import assert from 'node:assert/strict';
import { realpathSync, renameSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { type Credentials, fetchCredentials, mtlsRequest, type Shown } from '../support/mtls-client.ts';
import { pipeCluster, type RunningEnvoy, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { FaultyPipe } from './faulty-pipe.ts';
import type { Variant } from './variants.ts';

export const WEB = `spiffe://${TRUST_DOMAIN}/web`;
/** What a second listener asks for, whose entry comes when Envoy waits for it no more. */
export const LATE = `spiffe://${TRUST_DOMAIN}/late`;
/** Both listeners share it. */
export const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const CLIENT = `spiffe://${TRUST_DOMAIN}/client`;

/** A line of Sidekey's log. */
export type Line = Readonly<Record<string, unknown>>;

export class Stage {
  readonly variant: Variant;
  readonly ports: { readonly web: number; readonly late: number };
  readonly #t: Pick<TestContext, 'after'>;
  readonly #binary: string;
  readonly #credentials: Credentials;
  /** What Envoy's configuration names: a link to Sidekey's socket or to the faulty pipe's. */
  readonly #link: string;
  readonly #entries = new Map<string, string>();
  #sidekey: Served;
  #envoy: RunningEnvoy | undefined;
  #pipe: FaultyPipe | undefined;

  private constructor(
    t: Pick<TestContext, 'after'>,
    binary: string,
    variant: Variant,
    { sidekey, ports, credentials }: { sidekey: Served; ports: Stage['ports']; credentials: Credentials },
  ) {
    this.#t = t;
    this.#binary = binary;
    this.variant = variant;
    this.ports = ports;
    this.#credentials = credentials;
    this.#sidekey = sidekey;
    this.#link = path.join(sidekey.directory, 'envoy.sock');
    this.#point(sidekey.socket);
  }

  /** @param t what is to be stopped with the run */
  static async set(t: Pick<TestContext, 'after'>, binary: string, variant: Variant): Promise<Stage> {
    const sidekey = await serve(t);
    const [web, late] = (await freePorts(2)) as [number, number];
    const selectors = [MINE, { type: 'unix', value: `path:${realpathSync(process.execPath)}` }];
    const made = await sidekey.request('POST', '/v1/entries', { spiffe_id: CLIENT, selectors });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const credentials = await fetchCredentials(sidekey.socket, CLIENT);
    return new Stage(t, binary, variant, { sidekey, ports: { web, late }, credentials });
  }

  get envoy(): RunningEnvoy {
    return this.#envoy!;
  }

  /** What Envoy has written, for who looks at a failed step. */
  get said(): string {
    return this.#envoy?.said ?? '';
  }

  get pipe(): FaultyPipe {
    return this.#pipe!;
  }

  /** Lines of the log, those of the Sidekey that runs now. */
  get log(): readonly Line[] {
    return this.#sidekey.log;
  }

  /** Waits for a line of the log that comes at this place or after it. */
  async logged(what: string, from: number, is: (line: Line) => boolean): Promise<Line> {
    const look = async () => this.log.slice(from).find(is);
    return (await wait(what, { look, until: (line) => line !== undefined }))!;
  }

  /** Waits until Envoy has acknowledged this name, at this place of the log or after it. */
  async acknowledged(name: string, from: number): Promise<void> {
    const is = ({ msg, names }: Line) => msg === 'acknowledged' && (names as string[]).includes(name);
    await this.logged(`an ACK of ${name}`, from, is);
  }

  async startEnvoy(): Promise<void> {
    const { variant, ports } = this;
    this.#envoy = await startEnvoy(this.#t, this.#binary, {
      node: { id: 'matrix', cluster: 'matrix' },
      ...variant.bootstrap,
      static_resources: {
        listeners: [
          tlsListener(ports.web, tls(secretConfig(WEB, variant), secretConfig(BUNDLE, variant))),
          // It must not keep the other one closed while nobody gives it anything.
          tlsListener(
            ports.late,
            tls(secretConfig(LATE, variant, { initial_fetch_timeout: '0.1s' }), secretConfig(BUNDLE, variant)),
          ),
        ],
        clusters: [pipeCluster('sidekey', this.#link)],
      },
    });
  }

  async stopEnvoy(): Promise<void> {
    await this.#envoy?.stop();
  }

  async stopSidekey(): Promise<void> {
    const { code } = await this.#sidekey.stop();
    assert.equal(code, 0);
  }

  async startSidekey(): Promise<void> {
    this.#sidekey = await serve(this.#t, { place: this.#sidekey });
  }

  /** From Envoy's next connection on, there is a pipe in between that can fail. */
  async insertPipe(): Promise<void> {
    const place = path.join(this.#sidekey.directory, 'faulty.sock');
    this.#pipe = await FaultyPipe.open(this.#t, place, this.#sidekey.socket);
    this.#point(place);
  }

  async createEntry(spiffeId: string): Promise<void> {
    const { status, body } = await this.#sidekey.request('POST', '/v1/entries', {
      spiffe_id: spiffeId,
      selectors: [MINE],
    });
    assert.equal(status, 201, JSON.stringify(body));
    this.#entries.set(spiffeId, body.id);
  }

  async deleteEntry(spiffeId: string): Promise<void> {
    const { status } = await this.#sidekey.request('DELETE', `/v1/entries/${this.#entries.get(spiffeId)}`);
    assert.equal(status, 204);
  }

  /** Changes what stands in the certificate, so that a new one is issued and pushed at once. */
  async renew(spiffeId: string): Promise<void> {
    const change = { dns_names: [`r${process.hrtime.bigint()}.test`] };
    const { status } = await this.#sidekey.request('PATCH', `/v1/entries/${this.#entries.get(spiffeId)}`, change);
    assert.equal(status, 200);
  }

  /** One request with a handshake of its own. @throws Error when it fails */
  request(port: number): Promise<Shown> {
    return mtlsRequest(port, this.#credentials);
  }

  /** Waits until the listener serves this ID, with another certificate than the one with this serial; returns its serial. */
  async serves(port: number, uri: string, otherThan = ''): Promise<string> {
    const until = (shown: Shown) => shown.status === 200 && shown.uri === uri && shown.serial !== otherThan;
    const what = `port ${port} to serve ${otherThan === '' ? '' : 'another certificate '}for ${uri}`;
    return (await wait(what, { look: () => this.request(port), until })).serial;
  }

  #point(target: string): void {
    symlinkSync(target, `${this.#link}.new`);
    renameSync(`${this.#link}.new`, this.#link);
  }
}

const MINE = { type: 'unix', value: `uid:${process.getuid!()}` };

function tls(certificate: object, bundle: object) {
  return {
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [certificate],
      combined_validation_context: {
        default_validation_context: {
          match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: CLIENT } }],
        },
        validation_context_sds_secret_config: bundle,
      },
    },
  };
}
