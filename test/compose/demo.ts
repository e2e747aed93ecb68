/** compose.yaml, or another file, on an engine of the test's own, called from outside. */

import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import type { OwnEngine } from './engine.ts';

/** A secret of a stream, as `sidekey proxies --output json` has it. */
export interface Row {
  readonly node: string;
  readonly pid: number;
  readonly name: string;
  readonly state: string;
}

const UNVERIFIED = new Agent({ rejectUnauthorized: false });

export class Demo {
  readonly engine: OwnEngine;
  readonly env: Readonly<Record<string, string>>;
  readonly #https: number;
  readonly #admin: number;

  constructor(engine: OwnEngine, [http, https, admin]: readonly [number, number, number], file: string) {
    this.engine = engine;
    this.#https = https;
    this.#admin = admin;
    this.env = { HTTP_PORT: String(http), HTTPS_PORT: String(https), ADMIN_PORT: String(admin), COMPOSE_FILE: file };
  }

  static async on(engine: OwnEngine, file = 'compose.yaml'): Promise<Demo> {
    const [http, https, admin] = await freePorts(3);
    return new Demo(engine, [http!, https!, admin!], file);
  }

  compose(...args: readonly string[]): Promise<string> {
    return this.engine.run(['compose', ...args], this.env);
  }

  /** Makes the images, as `up` would, but one after the other: without BuildKit, each would run what they share. */
  build(...args: readonly string[]): Promise<string> {
    const files = ['-f', 'compose.yaml', '-f', 'test/compose/build.yaml'];
    return this.engine.run(['compose', ...files, 'build', ...args], { ...this.env, COMPOSE_PARALLEL_LIMIT: '1' });
  }

  /** A command in a service's container. */
  exec(service: string, ...command: readonly string[]): Promise<string> {
    return this.compose('exec', '-T', service, ...command);
  }

  /** What an Envoy's admin port, which is on loopback of its container, has at a path. */
  envoyAdmin(service: string, path: string): Promise<string> {
    const request = `GET ${path} HTTP/1.1\\r\\nHost: envoy\\r\\nConnection: close\\r\\n\\r\\n`;
    return this.exec(service, 'bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/9901 && printf '${request}' >&3 && cat <&3`);
  }

  /** How many TLS handshakes front-envoy has finished with a service since it started. */
  async handshakes(service: string): Promise<number> {
    const name = `cluster.${service}.ssl.handshake`;
    const [, count] = /: (\d+)$/m.exec(await this.envoyAdmin('front-envoy', `/stats?filter=^${name}$`)) ?? [];
    return Number(count);
  }

  /** The certificate of front-envoy, which clients outside must know. */
  certificate(): Promise<string> {
    return this.exec('front-envoy', 'cat', '/etc/envoy/certs/server.crt');
  }

  /** A request from outside through front-envoy. */
  async get(path: string): Promise<Answer> {
    this.#certificate ??= await this.certificate();
    return call(`https://localhost:${this.#https}${path}`, { ca: this.#certificate });
  }

  #certificate: string | undefined;

  /** The same as `curl -k` does it. */
  getUnverified(path: string): Promise<Answer> {
    return call(`https://localhost:${this.#https}${path}`, { agent: UNVERIFIED });
  }

  /** One to the admin API's port on this host. */
  async admin(path: string, token?: string): Promise<number> {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(`http://127.0.0.1:${this.#admin}${path}`, { headers })).status;
  }

  /** The pid on this machine of a service's containers. */
  async pids(service: string): Promise<number[]> {
    const ids = (await this.compose('ps', '--quiet', service)).split('\n');
    const text = await this.engine.docker('inspect', '--format', '{{.State.Pid}}', ...ids);
    return text.split('\n').map(Number);
  }

  /** What the Envoys have that ask this Sidekey. */
  async rows(service = 'sidekey'): Promise<Row[]> {
    return rowsOf(await this.exec(service, 'sidekey', 'proxies', '--output', 'json'));
  }

  /** Requests one after the other until `work` is done, and how many of them did not give 200. */
  async under(path: string, work: () => Promise<unknown>): Promise<{ requests: number; failed: string[] }> {
    const done = work().then(() => true);
    const failed: string[] = [];
    let requests = 0;
    for (;;) {
      const ended = await Promise.race([done, sleep(10, false)]);
      const answer = await this.get(path).then(({ status }) => String(status), String);
      requests += 1;
      if (answer !== '200') failed.push(answer);
      if (ended) return { requests, failed };
    }
  }
}

/** Of what `sidekey proxies --output json` prints. */
export function rowsOf(json: string): Row[] {
  interface Proxy {
    readonly pid: number;
    readonly node_id: string;
    readonly streams: readonly { readonly secrets: readonly { readonly name: string; readonly state: string }[] }[];
  }
  const { proxies } = JSON.parse(json) as { proxies: Proxy[] };
  return proxies.flatMap(({ pid, node_id: node, streams }) =>
    streams.flatMap(({ secrets }) => secrets.map(({ name, state }) => ({ node, pid, name, state }))),
  );
}
