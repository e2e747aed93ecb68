/**
 * Secret resources, encoded once and versioned by a hash of their content; all streams send the same bytes.
 *
 * @see envoy/extensions/transport_sockets/tls/v3/secret.proto, tls_spiffe_validator_config.proto
 */

import { hash } from 'node:crypto';
import { isValidAt } from '../base/index.ts';
import type { X509Svid } from '../ca/index.ts';
import type { Trust } from '../delivery/index.ts';
import { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { SPIFFECertValidatorConfig } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import { EPOCH_TRUST_DOMAIN, type SpiffeId, type TrustBundle } from '../spiffe/index.ts';
import { FieldWriter, fieldLength } from './field-writer.ts';
import type { EnvoyNode } from './node.ts';
import { SECRET_TYPE_URL } from './request.ts';

/** The value of `control_plane.identifier`. */
export const CONTROL_PLANE = 'sidekey';

/** The ledger's view of a certificate, without the key. Times in milliseconds since the epoch. */
export interface Certificate {
  readonly entryId: string;
  /** See {@link X509Svid.grant}. */
  readonly grant: string;
  readonly spiffeId: SpiffeId;
  /** Lower-case hex. */
  readonly serial: string;
  /** See {@link X509Svid.authorityId}. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The encoded `type_url` field of an Any. */
const SECRET_TYPE = writerOf(fieldLength(SECRET_TYPE_URL.length)).ascii(1, SECRET_TYPE_URL).bytes;

export class EncodedSecret {
  readonly name: string;
  /** Equal for equal content. */
  readonly version: string;
  /** Set if the secret contains a private key. */
  readonly certificate: Certificate | undefined;
  /** Set if the secret is a validation context. */
  readonly trust: Trust | undefined;
  /**
   * A DiscoveryResponse with this Secret alone; other fields of the response are concatenated to it.
   */
  readonly sotw: Buffer;
  /** Length of the Secret as an Any, which is the end of `sotw`, in bytes. */
  readonly #anyLength: number;
  #delta: Buffer | undefined;

  /**
   * @param length of the encoded Secret, in bytes
   * @param write writes the encoded Secret
   */
  constructor(
    name: string,
    content: { readonly certificate?: Certificate; readonly trust?: Trust },
    length: number,
    write: (writer: FieldWriter) => void,
  ) {
    this.name = name;
    this.certificate = content.certificate;
    this.trust = content.trust;
    this.#anyLength = SECRET_TYPE.length + fieldLength(length);
    const writer = writerOf(fieldLength(this.#anyLength));
    write(writer.head(2, this.#anyLength).raw(SECRET_TYPE).head(2, length));
    this.sotw = writer.bytes;
    this.version = hash('sha256', writer.bytes.subarray(-length)).slice(0, 16);
  }

  /** The same Secret in a DeltaDiscoveryResponse. */
  get delta(): Buffer {
    this.#delta ??= this.#asDelta();
    return this.#delta;
  }

  #asDelta(): Buffer {
    const [any, version, name] = [
      this.sotw.subarray(-this.#anyLength),
      Buffer.from(this.version),
      Buffer.from(this.name),
    ];
    const length = fieldLength(version.length) + fieldLength(any.length) + fieldLength(name.length);
    const writer = writerOf(fieldLength(length)).head(2, length);
    return writer.field(1, version).field(2, any).field(3, name).bytes;
  }
}

function writerOf(length: number): FieldWriter {
  return new FieldWriter(Buffer.allocUnsafe(length));
}

/**
 * False for a certificate that has expired, or that is not yet valid because the clock was set back: do not send it.
 */
export function isCurrent({ certificate }: EncodedSecret, now: number): boolean {
  return certificate === undefined || isValidAt(certificate, now);
}

/** The form of a validation context: Envoy's SPIFFE validator, or plain `trusted_ca`. */
export type ValidationForm = 'spiffe' | 'plain';

/** The form that the node's metadata requests, else the configured one. */
export function validationFor(node: EnvoyNode | undefined, otherwise: ValidationForm): ValidationForm {
  if (node?.disableSpiffeCertValidation === undefined) return otherwise;
  return node.disableSpiffeCertValidation ? 'plain' : 'spiffe';
}

const VALIDATOR_NAME = 'envoy.tls.cert_validator.spiffe';
const VALIDATOR_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig';

/** The encoded secrets of an SVID, by name. */
const ofSvid = new WeakMap<X509Svid, Map<string, EncodedSecret>>();

/** By the first bundle, then by name and trust domains. */
type BundleSecrets = WeakMap<TrustBundle, Map<string, BundleSecret>>;
const ofBundle: Readonly<Record<ValidationForm, BundleSecrets>> = { spiffe: new WeakMap(), plain: new WeakMap() };
const respelledOfBundle: typeof ofBundle = { spiffe: new WeakMap(), plain: new WeakMap() };

/** An encoded secret and the bundles it contains. A changed bundle is a new object. */
interface BundleSecret {
  readonly bundles: readonly TrustBundle[];
  readonly secret: EncodedSecret;
}

/**
 * The number of encoded secrets kept for each SVID or bundle, the most recent ones. Clients choose how to spell an
 * alias, and outdated sets of bundles would live as long as the first bundle, so both need a limit.
 */
const KEPT = 256;

/** The SVID as a `tls_certificate` under the requested name. */
export function certificateSecret(name: string, svid: X509Svid): EncodedSecret {
  const secrets = secretsOf(ofSvid, svid);
  let secret = secrets.get(name);
  if (secret === undefined) {
    const { entryId, grant, spiffeId, serial, authorityId, notBefore, notAfter } = svid;
    secret = encodeCertificate(name, svid, { entryId, grant, spiffeId, serial, authorityId, notBefore, notAfter });
    keep(secrets, name, secret);
  }
  return secret;
}

/** Encodes a Secret with a name and a TlsCertificate, whose chain and key are DataSources with `inline_bytes`. */
function encodeCertificate(name: string, svid: X509Svid, certificate: Certificate): EncodedSecret {
  const { certificateChain, privateKey } = svid;
  const nameBytes = Buffer.from(name);
  const [chainSource, keySource] = [fieldLength(certificateChain.length), fieldLength(privateKey.length)];
  const tlsCertificate = fieldLength(chainSource) + fieldLength(keySource);
  return new EncodedSecret(
    name,
    { certificate },
    fieldLength(nameBytes.length) + fieldLength(tlsCertificate),
    (writer) => {
      writer.field(1, nameBytes).head(2, tlsCertificate);
      writer.head(1, chainSource).longAscii(2, certificateChain);
      writer.head(2, keySource).longAscii(2, privateKey);
    },
  );
}

/**
 * Bundles as a `validation_context` under the requested name.
 * @param bundles at least one; with several, `validation` must be `spiffe`
 * @param respelled encodes the same content in different bytes, so that Envoy does not treat it as unchanged
 */
export function bundleSecret(
  name: string,
  bundles: readonly TrustBundle[],
  validation: ValidationForm,
  respelled = false,
): EncodedSecret {
  const secrets = secretsOf((respelled ? respelledOfBundle : ofBundle)[validation], bundles[0]!);
  // A bundle change calls this once for each stream, so the common case builds no key.
  const key = bundles.length === 1 ? name : `${name} ${bundles.map(({ trustDomain }) => trustDomain)}`;
  const made = secrets.get(key);
  if (made !== undefined && areSame(made.bundles, bundles)) return made.secret;
  const trust = bundles.map(({ trustDomain, sequenceNumber }) => ({ trustDomain, sequenceNumber }));
  const spell = (pem: Buffer) => ({ inlineBytes: respelled ? Buffer.concat([pem, NEWLINE]) : pem });
  const validationContext = validation === 'spiffe' ? spiffeValidator(bundles, spell) : trustedCa(bundles[0]!, spell);
  const bytes = Secret.encode(Secret.fromPartial({ name, validationContext })).finish();
  const secret = new EncodedSecret(name, { trust }, bytes.length, (writer) => writer.raw(bytes));
  keep(secrets, key, { bundles, secret });
  return secret;
}

function areSame(a: readonly TrustBundle[], b: readonly TrustBundle[]): boolean {
  return a.length === b.length && a.every((bundle, i) => bundle === b[i]);
}

/** PEM readers ignore it. */
const NEWLINE = Buffer.from('\n');

type Spell = (pem: Buffer) => { readonly inlineBytes: Buffer };

/**
 * With the revocation lists, which must be those of all authorities on a path. Envoy resumes no session of an earlier
 * context if the first CA is another one.
 */
function trustedCa({ authoritiesPem, crlsPem, epoch }: TrustBundle, spell: Spell) {
  const cas = epoch === undefined ? authoritiesPem : Buffer.concat([epoch, authoritiesPem]);
  return { trustedCa: spell(cas), ...(crlsPem.length === 0 ? {} : { crl: { inlineBytes: crlsPem } }) };
}

/** Revocation lists are in the bundles; the validator reads no others. */
function spiffeValidator(bundles: readonly TrustBundle[], spell: Spell) {
  const trustDomains = bundles.flatMap(({ trustDomain, pem, epoch }) => [
    { name: trustDomain as string, trustBundle: spell(pem) },
    ...(epoch === undefined ? [] : [{ name: EPOCH_TRUST_DOMAIN as string, trustBundle: spell(epoch) }]),
  ]);
  const config = SPIFFECertValidatorConfig.encode(SPIFFECertValidatorConfig.fromPartial({ trustDomains })).finish();
  const typedConfig = { typeUrl: VALIDATOR_TYPE_URL, value: asBuffer(config) };
  return { customValidatorConfig: { name: VALIDATOR_NAME, typedConfig } };
}

function secretsOf<Key extends object, Kept>(cache: WeakMap<Key, Map<string, Kept>>, key: Key): Map<string, Kept> {
  let secrets = cache.get(key);
  if (secrets === undefined) {
    secrets = new Map();
    cache.set(key, secrets);
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
