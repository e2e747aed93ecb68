/**
 * Reads the client's node. Few of its fields are used; most of an Envoy's node is a list of its extensions.
 *
 * @see envoy/config/core/v3/base.proto
 */

import type { Node } from '../delivery/index.ts';
import { Struct } from '../gen/google/protobuf/struct.ts';
import { LENGTH_DELIMITED, readFields, readShort } from './fields.ts';

export interface EnvoyNode extends Node {
  /** The node's metadata requests plain `trusted_ca` (true) or the SPIFFE validator (false); undefined: neither. */
  readonly disableSpiffeCertValidation: boolean | undefined;
}

/** @throws StatusError INVALID_ARGUMENT */
export function readNode(bytes: Uint8Array): EnvoyNode {
  let id = '';
  let cluster = '';
  let version = '';
  let disableSpiffeCertValidation: boolean | undefined;
  readFields(bytes, 'Node', (field, wireType, reader) => {
    if (wireType !== LENGTH_DELIMITED) return false;
    if (field === 1) id = readShort(reader);
    else if (field === 2) cluster = readShort(reader);
    else if (field === 3) disableSpiffeCertValidation = readMetadata(reader.bytes());
    else if (field === 7) version = readShort(reader);
    else if (field === 8) version = readBuildVersion(reader.bytes());
    else return false;
    return true;
  });
  return { id, cluster, version, disableSpiffeCertValidation };
}

/** A boolean, or a text that SPIRE reads as one; undefined for anything else. */
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
