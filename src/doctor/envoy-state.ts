/**
 * Reads the state of a running Envoy from its admin port.
 * @see https://www.envoyproxy.io/docs/envoy/latest/operations/admin
 */

import http from 'node:http';

export interface EnvoyState {
  readonly nodeId: string;
  readonly version: string;
  /** `LIVE`, `INITIALIZING`, … */
  readonly state: string;
  readonly secrets: readonly EnvoySecret[];
  /** Certificates that the Envoy presents: serials as lower-case hex without leading zeros, and their ends. */
  readonly certificates: ReadonlyMap<string, { readonly spiffeId: string; readonly ends: string }>;
}

export interface EnvoySecret {
  readonly name: string;
  /** Empty while the Envoy waits for the secret. */
  readonly version: string;
  /** Whether the Envoy waits for the secret. */
  readonly warming: boolean;
}

const TIMEOUT_MS = 5_000;

interface ServerInfo {
  readonly version: string;
  readonly state: string;
  readonly node?: { readonly id?: string };
}
interface Dump {
  readonly configs?: readonly { readonly name?: string; readonly version_info?: string }[];
}
interface Certificates {
  readonly certificates?: readonly {
    readonly cert_chain?: readonly {
      readonly serial_number: string;
      readonly expiration_time: string;
      readonly subject_alt_names?: readonly { readonly uri?: string }[];
    }[];
  }[];
}

/** @throws Error if no server answers, or the server is not Envoy */
export async function readEnvoyState(url: string): Promise<EnvoyState> {
  const { node, version, state } = await get<ServerInfo>(url, '/server_info');
  const active = await get<Dump>(url, '/config_dump?resource=dynamic_active_secrets');
  const warming = await get<Dump>(url, '/config_dump?resource=dynamic_warming_secrets');
  const { certificates = [] } = await get<Certificates>(url, '/certs');
  const leaves = certificates.flatMap(({ cert_chain: chain = [] }) => chain.slice(0, 1));
  return {
    nodeId: node?.id ?? '',
    version,
    state,
    secrets: [...secretsOf(active, false), ...secretsOf(warming, true)],
    certificates: new Map(
      leaves.map((leaf) => [
        plainSerial(leaf.serial_number),
        { spiffeId: leaf.subject_alt_names?.find(({ uri }) => uri)?.uri ?? '', ends: leaf.expiration_time },
      ]),
    ),
  };
}

function secretsOf({ configs = [] }: Dump, warming: boolean): EnvoySecret[] {
  return configs.map(({ name = '', version_info: version = '' }) => ({ name, version, warming }));
}

/** Without leading zeros, which only some programs write. */
export function plainSerial(serial: string): string {
  return serial.toLowerCase().replace(/^0+(?=.)/, '');
}

/** Undefined for an invalid value. */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A URL below the admin port, or below the path that a proxy uses for it. @param path begins with `/` */
export function adminUrl(base: string, path: string): URL {
  const root = new URL(base);
  if (!root.pathname.endsWith('/')) root.pathname += '/';
  return new URL(`.${path}`, root);
}

async function get<T>(base: string, path: string): Promise<T> {
  const url = adminUrl(base, path);
  const text = await new Promise<string>((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const request = http.get(url, { agent: false, signal }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('error', reject).on('end', () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`the server answers ${path} with status ${response.statusCode}`));
      });
    });
    request.on('error', reject);
  });
  const answer = jsonIn(text);
  if (typeof answer !== 'object' || answer === null)
    throw new Error(`the answer to ${path} is not Envoy's: is this Envoy's admin address?`);
  return answer as T;
}
