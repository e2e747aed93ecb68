/**
 * Reads DiscoveryRequests of either variant. An Envoy repeats its large node in every request and ACK, so the node is
 * decoded only once per stream, and only its used fields.
 *
 * @see envoy/service/discovery/v3/discovery.proto
 */

import { Status, StatusError } from '../wire/index.ts';
import { LENGTH_DELIMITED, readExpected, readFields, readShort } from './fields.ts';
import { type EnvoyNode, readNode } from './node.ts';

export const SECRET_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

/** Maximum length of a resource name, in characters: that of a SPIFFE ID. */
export const MAX_NAME_LENGTH = 2048;
/** Maximum number of names that one stream may request. */
export const MAX_NAMES = 10_000;

/** The fields that requests of both variants have. */
interface Common {
  readonly responseNonce: string;
  readonly typeUrl: string;
  /** Set if and only if the client rejects a response: nothing else marks a NACK (section "ACK and NACK"). */
  readonly errorDetail: { readonly message: string } | undefined;
  /** Undefined if the node was not wanted or not sent. */
  readonly node: EnvoyNode | undefined;
}

export interface DiscoveryRequest extends Common {
  readonly resourceNames: readonly string[];
}

export interface DeltaDiscoveryRequest extends Common {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** The versions that the client has from an earlier stream, by name. */
  readonly initialVersions: ReadonlyMap<string, string>;
}

/**
 * @param withNode whether to decode the node
 * @param nonce the likely `response_nonce`, which then needs no decoding
 * @throws StatusError INVALID_ARGUMENT if the bytes are no DiscoveryRequest or exceed a limit
 */
export function readDiscoveryRequest(bytes: Uint8Array, withNode: boolean, nonce = ''): DiscoveryRequest {
  let responseNonce = '';
  let typeUrl = '';
  let errorDetail: DiscoveryRequest['errorDetail'];
  let node: EnvoyNode | undefined;
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
 * @param withNode whether to decode the node
 * @param nonce the likely `response_nonce`, which then needs no decoding
 * @throws StatusError INVALID_ARGUMENT if the bytes are no DeltaDiscoveryRequest or exceed a limit
 */
export function readDeltaDiscoveryRequest(bytes: Uint8Array, withNode: boolean, nonce = ''): DeltaDiscoveryRequest {
  let responseNonce = '';
  let typeUrl = '';
  let errorDetail: DeltaDiscoveryRequest['errorDetail'];
  let node: EnvoyNode | undefined;
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
 * @param required true on ADS, which serves many types; SDS serves one, so there `type_url` may be empty
 * @throws StatusError INVALID_ARGUMENT unless the type is the Secret type
 */
export function checkTypeUrl(typeUrl: string, required: boolean): void {
  if (typeUrl === SECRET_TYPE_URL || (typeUrl === '' && !required)) return;
  const shown = JSON.stringify(typeUrl.slice(0, 200));
  throw new StatusError(Status.INVALID_ARGUMENT, `type_url ${shown} is not served; only ${SECRET_TYPE_URL} is`);
}

/** @throws StatusError INVALID_ARGUMENT if there are more names than MAX_NAMES */
export function checkCount(count: number, field: string): void {
  if (count <= MAX_NAMES) return;
  throw new StatusError(Status.INVALID_ARGUMENT, `${field} has ${count} names; the limit is ${MAX_NAMES}`, {
    limit: 'namesPerRequest',
  });
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

/** Reads one entry of the map from name to version. */
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
