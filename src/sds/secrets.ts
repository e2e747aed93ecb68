/**
 * Secret resources, encoded once and versioned by a hash of their content: the same bytes go to every stream.
 *
 * @see envoy/extensions/transport_sockets/tls/v3/secret.proto, tls_spiffe_validator_config.proto
 */

import { hash } from 'node:crypto';
import { isValidAt } from '../base/validity.ts';
import type { X509Svid } from '../ca/types.ts';
import { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { SPIFFECertValidatorConfig } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import type { TrustBundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/id.ts';
import { FieldWriter, fieldLength } from './field-writer.ts';
import type { Node } from './node.ts';
import { SECRET_TYPE_URL } from './request.ts';

/** What `control_plane.identifier` says. */
export const CONTROL_PLANE = 'sidekey';

/** What the ledger keeps of a certificate, without its key. Times in milliseconds since the epoch. */
export interface Certificate {
  readonly entryId: string;
  readonly spiffeId: SpiffeId;
  /** Lower-case hex. */
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The `type_url` of an Any, whole. */
const SECRET_TYPE = writerOf(fieldLength(SECRET_TYPE_URL.length)).ascii(1, SECRET_TYPE_URL).bytes;

export class EncodedSecret {
  readonly name: string;
  /** Equal for equal content. */
  readonly version: string;
  /** There if the secret holds a private key. */
  readonly certificate: Certificate | undefined;
  /**
   * A DiscoveryResponse with nothing in it but the Secret: what comes before or after it in bytes is added to it. Bytes as
   * Latin-1, since text lies in V8's heap; see `X509Svid`.
   */
  readonly sotw: string;
  /** Of the Secret as an Any, at the end of `sotw`, in bytes. */
  readonly #anyLength: number;
  #delta: string | undefined;

  /**
   * @param length of the encoded Secret, in bytes
   * @param write writes it
   */
  constructor(
    name: string,
    certificate: Certificate | undefined,
    length: number,
    write: (writer: FieldWriter) => void,
  ) {
    this.name = name;
    this.certificate = certificate;
    this.#anyLength = SECRET_TYPE.length + fieldLength(length);
    const writer = writerOf(fieldLength(this.#anyLength));
    write(writer.head(2, this.#anyLength).raw(SECRET_TYPE).head(2, length));
    this.sotw = writer.bytes.toString('latin1');
    this.version = hash('sha256', writer.bytes.subarray(-length)).slice(0, 16);
  }

  /** The same as a DeltaDiscoveryResponse. */
  get delta(): string {
    this.#delta ??= this.#asDelta();
    return this.#delta;
  }

  #asDelta(): string {
    const [any, version, name] = [this.sotw.slice(-this.#anyLength), Buffer.from(this.version), Buffer.from(this.name)];
    const length = fieldLength(version.length) + fieldLength(any.length) + fieldLength(name.length);
    const writer = writerOf(fieldLength(length)).head(2, length);
    return writer.field(1, version).field(2, any).field(3, name).bytes.toString('latin1');
  }
}

function writerOf(length: number): FieldWriter {
  return new FieldWriter(Buffer.allocUnsafe(length));
}

/** False for a certificate that has ended, or not begun since the clock was set back: it must not be handed out. */
export function isCurrent({ certificate }: EncodedSecret, now: number): boolean {
  return certificate === undefined || isValidAt(certificate, now);
}

/** How a validation context checks: Envoy's SPIFFE validator, or plain `trusted_ca`. */
export type Validation = 'spiffe' | 'plain';

/** As the node wishes; where it says nothing, as the configuration does. */
export function validationFor(node: Node | undefined, otherwise: Validation): Validation {
  if (node?.disableSpiffeCertValidation === undefined) return otherwise;
  return node.disableSpiffeCertValidation ? 'plain' : 'spiffe';
}

const VALIDATOR_NAME = 'envoy.tls.cert_validator.spiffe';
const VALIDATOR_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig';

/**
 * Where an SVID has its secrets, by name. A WeakMap would hold them as well, but the garbage collector looks at each of its
 * entries in one go: with ten thousand SVIDs the event loop stands still for 20 ms longer.
 */
const SECRETS = Symbol('secrets');

interface Encoded {
  [SECRETS]?: Map<string, EncodedSecret>;
}

/** By the first of the bundles and the name. */
type BundleSecrets = WeakMap<TrustBundle, Map<string, BundleSecret>>;
const ofBundle: Readonly<Record<Validation, BundleSecrets>> = { spiffe: new WeakMap(), plain: new WeakMap() };
const respelledOfBundle: typeof ofBundle = { spiffe: new WeakMap(), plain: new WeakMap() };

/** A secret of bundles, and of which: a change makes a new object of each. */
interface BundleSecret {
  readonly bundles: readonly TrustBundle[];
  readonly secret: EncodedSecret;
}

/**
 * So many secrets of each SVID or bundle are kept, those that came last: an alias has more spellings than memory could
 * hold, of which whoever asks may choose, and a set of bundles that nobody has any more would be kept as long as the root.
 */
const KEPT = 256;

/** The SVID as a `tls_certificate` under the name that was asked for. */
export function certificateSecret(name: string, svid: X509Svid & Encoded): EncodedSecret {
  svid[SECRETS] ??= new Map();
  const secrets = svid[SECRETS];
  let secret = secrets.get(name);
  if (secret === undefined) {
    const { entryId, spiffeId, serial, notBefore, notAfter } = svid;
    secret = encodeCertificate(name, svid, { entryId, spiffeId, serial, notBefore, notAfter });
    keep(secrets, name, secret);
  }
  return secret;
}

/** A Secret of its name and a TlsCertificate, of which chain and key are DataSources with `inline_bytes`. */
function encodeCertificate(name: string, svid: X509Svid, certificate: Certificate): EncodedSecret {
  const { certificateChain, privateKey } = svid;
  const nameBytes = Buffer.from(name);
  const [chainSource, keySource] = [fieldLength(certificateChain.length), fieldLength(privateKey.length)];
  const tlsCertificate = fieldLength(chainSource) + fieldLength(keySource);
  return new EncodedSecret(name, certificate, fieldLength(nameBytes.length) + fieldLength(tlsCertificate), (writer) => {
    writer.field(1, nameBytes).head(2, tlsCertificate);
    writer.head(1, chainSource).field(2, certificateChain);
    writer.head(2, keySource).field(2, privateKey);
  });
}

/**
 * Bundles as a `validation_context` under the name that was asked for.
 * @param bundles at least one; of several, `validation` must be `spiffe`
 * @param respelled the same in other bytes
 */
export function bundleSecret(
  name: string,
  bundles: readonly TrustBundle[],
  validation: Validation,
  respelled = false,
): EncodedSecret {
  const secrets = secretsOf((respelled ? respelledOfBundle : ofBundle)[validation], bundles[0]!);
  // A change that ten thousand streams hear of comes here for each.
  const key = bundles.length === 1 ? name : `${name} ${bundles.map(({ trustDomain }) => trustDomain)}`;
  const made = secrets.get(key);
  if (made !== undefined && areSame(made.bundles, bundles)) return made.secret;
  const pems = bundles.map(({ trustDomain, pem }) => ({
    name: trustDomain,
    inlineBytes: respelled ? Buffer.concat([pem, NEWLINE]) : pem,
  }));
  const validationContext =
    validation === 'spiffe' ? spiffeValidator(pems) : { trustedCa: { inlineBytes: pems[0]!.inlineBytes } };
  const bytes = Secret.encode(Secret.fromPartial({ name, validationContext })).finish();
  const secret = new EncodedSecret(name, undefined, bytes.length, (writer) => writer.raw(bytes));
  keep(secrets, key, { bundles, secret });
  return secret;
}

function areSame(a: readonly TrustBundle[], b: readonly TrustBundle[]): boolean {
  return a.length === b.length && a.every((bundle, i) => bundle === b[i]);
}

/** What PEM readers pass over. */
const NEWLINE = Buffer.from('\n');

function spiffeValidator(pems: readonly { readonly name: string; readonly inlineBytes: Buffer }[]) {
  const trustDomains = pems.map(({ name, inlineBytes }) => ({ name, trustBundle: { inlineBytes } }));
  const config = SPIFFECertValidatorConfig.encode(SPIFFECertValidatorConfig.fromPartial({ trustDomains })).finish();
  const typedConfig = { typeUrl: VALIDATOR_TYPE_URL, value: asBuffer(config) };
  return { customValidatorConfig: { name: VALIDATOR_NAME, typedConfig } };
}

function secretsOf(cache: BundleSecrets, bundle: TrustBundle): Map<string, BundleSecret> {
  let secrets = cache.get(bundle);
  if (secrets === undefined) {
    secrets = new Map();
    cache.set(bundle, secrets);
  }
  return secrets;
}

function keep<Member>(members: Map<string, Member>, key: string, member: Member): void {
  if (members.size >= KEPT && !members.has(key)) members.delete(members.keys().next().value!);
  members.set(key, member);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
