/**
 * Reads DiscoveryRequests. A real Envoy's is 61 KB, nearly all of it a node that lists its extensions, on every request
 * and ACK; so the node is read once a stream, and of it only what is used.
 *
 * @see envoy/service/discovery/v3/discovery.proto, envoy/config/core/v3/base.proto
 */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Struct } from '../gen/google/protobuf/struct.ts';
import { Status, StatusError } from '../wire/types.ts';

export const SECRET_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

/** How long a resource name may be, in characters: a SPIFFE ID's limit. */
export const MAX_NAME_LENGTH = 2048;
/** How many names one stream may ask for. */
export const MAX_NAMES = 10_000;

export interface Node {
  readonly id: string;
  readonly cluster: string;
  /** `1.40.0`; empty where the client does not say. */
  readonly version: string;
  /** The node's metadata wants plain `trusted_ca` (true) or the SPIFFE validator (false); undefined: says nothing. */
  readonly disableSpiffeCertValidation: boolean | undefined;
}

export interface DiscoveryRequest {
  readonly versionInfo: string;
  readonly responseNonce: string;
  readonly resourceNames: readonly string[];
  readonly typeUrl: string;
  /** There if and only if the client rejects a response. */
  readonly errorDetail: { readonly code: number; readonly message: string } | undefined;
  /** Undefined where it was not asked for or not sent. */
  readonly node: Node | undefined;
}

const LENGTH_DELIMITED = 2;

/** @throws StatusError INVALID_ARGUMENT when the bytes are no DiscoveryRequest or break a limit */
export function readDiscoveryRequest(bytes: Uint8Array, withNode: boolean): DiscoveryRequest {
  let versionInfo = '';
  let responseNonce = '';
  let typeUrl = '';
  let errorDetail: DiscoveryRequest['errorDetail'];
  let node: Node | undefined;
  const resourceNames: string[] = [];
  readFields(bytes, 'DiscoveryRequest', (field, wireType, reader) => {
    if (wireType !== LENGTH_DELIMITED) return false;
    if (field === 1) versionInfo = reader.string();
    else if (field === 2 && withNode) node = readNode(reader.bytes());
    else if (field === 3) resourceNames.push(reader.string());
    else if (field === 4) typeUrl = reader.string();
    else if (field === 5) responseNonce = reader.string();
    else if (field === 6) errorDetail = readStatus(reader.bytes());
    else return false;
    return true;
  });
  checkNames(resourceNames);
  return { versionInfo, responseNonce, resourceNames, typeUrl, errorDetail, node };
}

/** @throws StatusError INVALID_ARGUMENT unless the type is the Secret type or left out */
export function checkTypeUrl(typeUrl: string): void {
  if (typeUrl === '' || typeUrl === SECRET_TYPE_URL) return;
  const shown = JSON.stringify(typeUrl.slice(0, 200));
  throw new StatusError(Status.INVALID_ARGUMENT, `type_url ${shown} is not served here; only ${SECRET_TYPE_URL} is`);
}

function checkNames(names: readonly string[]): void {
  if (names.length > MAX_NAMES) {
    throw new StatusError(
      Status.INVALID_ARGUMENT,
      `resource_names has ${names.length} names; the limit is ${MAX_NAMES}`,
    );
  }
  const long = names.findIndex((name) => name.length > MAX_NAME_LENGTH);
  if (long === -1) return;
  throw new StatusError(
    Status.INVALID_ARGUMENT,
    `resource_names[${long}] has ${names[long]!.length} characters; the limit is ${MAX_NAME_LENGTH}`,
  );
}

function readNode(bytes: Uint8Array): Node {
  let id = '';
  let cluster = '';
  let version = '';
  let disableSpiffeCertValidation: boolean | undefined;
  readFields(bytes, 'Node', (field, wireType, reader) => {
    if (wireType !== LENGTH_DELIMITED) return false;
    if (field === 1) id = reader.string();
    else if (field === 2) cluster = reader.string();
    else if (field === 3) disableSpiffeCertValidation = readMetadata(reader.bytes());
    else if (field === 7) version = reader.string();
    else if (field === 8) version = readBuildVersion(reader.bytes());
    else return false;
    return true;
  });
  return { id, cluster, version, disableSpiffeCertValidation };
}

/** A boolean, or a text that SPIRE would take for one; anything else says nothing. */
function readMetadata(bytes: Uint8Array): boolean | undefined {
  const value: unknown = Struct.unwrap(Struct.decode(bytes)).disable_spiffe_cert_validation;
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return undefined;
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  return undefined;
}

function readBuildVersion(bytes: Uint8Array): string {
  let semantic: number[] | undefined;
  readFields(bytes, 'BuildVersion', (field, wireType, reader) => {
    if (field !== 1 || wireType !== LENGTH_DELIMITED) return false;
    const parts = [0, 0, 0];
    readFields(reader.bytes(), 'SemanticVersion', (number, type, inner) => {
      if (type !== 0 || number < 1 || number > 3) return false;
      parts[number - 1] = inner.uint32();
      return true;
    });
    semantic = parts;
    return true;
  });
  return semantic?.join('.') ?? '';
}

function readStatus(bytes: Uint8Array): { code: number; message: string } {
  let code = 0;
  let message = '';
  readFields(bytes, 'Status', (field, wireType, reader) => {
    if (field === 1 && wireType === 0) code = reader.int32();
    else if (field === 2 && wireType === LENGTH_DELIMITED) message = reader.string();
    else return false;
    return true;
  });
  return { code, message };
}

/** Calls `read` for each field; a field that it returns false for is skipped. */
function readFields(
  bytes: Uint8Array,
  message: string,
  read: (field: number, wireType: number, reader: BinaryReader) => boolean,
): void {
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (!read(field, wireType, reader)) reader.skip(wireType, field);
    }
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    throw new StatusError(Status.INVALID_ARGUMENT, `the request is no valid ${message}`, { cause });
  }
}
