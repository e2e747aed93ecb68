/**
 * Reads DiscoveryRequests, of either variant. A real Envoy's is 61 KB, nearly all of it a node, on every request and
 * ACK; so the node is read once a stream, and of it only what is used.
 *
 * @see envoy/service/discovery/v3/discovery.proto
 */

import { Status, StatusError } from '../wire/types.ts';
import { LENGTH_DELIMITED, readExpected, readFields, readShort } from './fields.ts';
import { type Node, readNode } from './node.ts';

export const SECRET_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

/** How long a resource name may be, in characters: a SPIFFE ID's limit. */
export const MAX_NAME_LENGTH = 2048;
/** How many names one stream may ask for. */
export const MAX_NAMES = 10_000;

/** What both variants' requests have. */
interface Common {
  readonly responseNonce: string;
  readonly typeUrl: string;
  /** There if and only if the client rejects a response: nothing else tells a NACK (section "ACK and NACK"). */
  readonly errorDetail: { readonly message: string } | undefined;
  /** Undefined where it was not asked for or not sent. */
  readonly node: Node | undefined;
}

export interface DiscoveryRequest extends Common {
  readonly resourceNames: readonly string[];
}

export interface DeltaDiscoveryRequest extends Common {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** What the client has from an earlier stream, name to version. */
  readonly initialVersions: ReadonlyMap<string, string>;
}

/**
 * @param nonce the one that as a rule it has
 * @throws StatusError INVALID_ARGUMENT when the bytes are no DiscoveryRequest or break a limit
 */
export function readDiscoveryRequest(bytes: Uint8Array, withNode: boolean, nonce = ''): DiscoveryRequest {
  let responseNonce = '';
  let typeUrl = '';
  let errorDetail: DiscoveryRequest['errorDetail'];
  let node: Node | undefined;
  const resourceNames: string[] = [];
  readFields(bytes, 'DiscoveryRequest', (field, wireType, reader) => {
    if (wireType !== LENGTH_DELIMITED) return false;
    if (field === 2 && withNode) node = readNode(reader.bytes());
    else if (field === 3) resourceNames.push(reader.string());
    else if (field === 4) typeUrl = readExpected(bytes, reader, SECRET_TYPE_URL);
    else if (field === 5) responseNonce = readExpected(bytes, reader, nonce);
    else if (field === 6) errorDetail = readStatus(reader.bytes());
    else return false;
    return true;
  });
  checkNames(resourceNames, 'resource_names');
  return { responseNonce, resourceNames, typeUrl, errorDetail, node };
}

/**
 * @param nonce the one that as a rule it has
 * @throws StatusError INVALID_ARGUMENT when the bytes are no DeltaDiscoveryRequest or break a limit
 */
export function readDeltaDiscoveryRequest(bytes: Uint8Array, withNode: boolean, nonce = ''): DeltaDiscoveryRequest {
  let responseNonce = '';
  let typeUrl = '';
  let errorDetail: DeltaDiscoveryRequest['errorDetail'];
  let node: Node | undefined;
  const subscribe: string[] = [];
  const unsubscribe: string[] = [];
  const initialVersions = new Map<string, string>();
  readFields(bytes, 'DeltaDiscoveryRequest', (field, wireType, reader) => {
    if (wireType !== LENGTH_DELIMITED) return false;
    if (field === 1 && withNode) node = readNode(reader.bytes());
    else if (field === 2) typeUrl = readExpected(bytes, reader, SECRET_TYPE_URL);
    else if (field === 3) subscribe.push(reader.string());
    else if (field === 4) unsubscribe.push(reader.string());
    else if (field === 5) initialVersions.set(...readVersion(reader.bytes()));
    else if (field === 6) responseNonce = readExpected(bytes, reader, nonce);
    else if (field === 7) errorDetail = readStatus(reader.bytes());
    else return false;
    return true;
  });
  checkNames(subscribe, 'resource_names_subscribe');
  checkNames(unsubscribe, 'resource_names_unsubscribe');
  checkNames([...initialVersions.keys()], 'initial_resource_versions');
  return { responseNonce, subscribe, unsubscribe, initialVersions, typeUrl, errorDetail, node };
}

/**
 * @param required on a service of many types the type must be said; SDS serves one, so there it may be left out
 * @throws StatusError INVALID_ARGUMENT unless the type is the Secret type
 */
export function checkTypeUrl(typeUrl: string, required: boolean): void {
  if (typeUrl === SECRET_TYPE_URL || (typeUrl === '' && !required)) return;
  const shown = JSON.stringify(typeUrl.slice(0, 200));
  throw new StatusError(Status.INVALID_ARGUMENT, `type_url ${shown} is not served here; only ${SECRET_TYPE_URL} is`);
}

/** @throws StatusError INVALID_ARGUMENT when a stream asks for more names than it may */
export function checkCount(count: number, field: string): void {
  if (count <= MAX_NAMES) return;
  throw new StatusError(Status.INVALID_ARGUMENT, `${field} has ${count} names; the limit is ${MAX_NAMES}`);
}

function checkNames(names: readonly string[], field: string): void {
  checkCount(names.length, field);
  const long = names.findIndex((name) => name.length > MAX_NAME_LENGTH);
  if (long === -1) return;
  throw new StatusError(
    Status.INVALID_ARGUMENT,
    `${field}[${long}] has ${names[long]!.length} characters; the limit is ${MAX_NAME_LENGTH}`,
  );
}

/** One entry of a map from name to version. */
function readVersion(bytes: Uint8Array): [name: string, version: string] {
  let name = '';
  let version = '';
  readFields(bytes, 'DeltaDiscoveryRequest', (field, wireType, reader) => {
    if (wireType !== LENGTH_DELIMITED) return false;
    if (field === 1) name = reader.string();
    else if (field === 2) version = reader.string();
    else return false;
    return true;
  });
  return [name, version];
}

/** @see google/rpc/status.proto */
function readStatus(bytes: Uint8Array): { message: string } {
  let message = '';
  readFields(bytes, 'Status', (field, wireType, reader) => {
    if (field !== 2 || wireType !== LENGTH_DELIMITED) return false;
    message = readShort(reader);
    return true;
  });
  return { message };
}
