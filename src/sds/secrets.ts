/**
 * Secret resources, encoded once and versioned by a hash of their content: the same bytes go to every stream.
 *
 * @see envoy/extensions/transport_sockets/tls/v3/secret.proto, tls_spiffe_validator_config.proto
 */

import { createHash } from 'node:crypto';
import { isValidAt } from '../base/validity.ts';
import type { TrustBundle, X509Svid } from '../ca/types.ts';
import { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { SPIFFECertValidatorConfig } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import { DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import { type Node, SECRET_TYPE_URL } from './request.ts';

export interface EncodedSecret {
  readonly name: string;
  /** Equal for equal content. */
  readonly version: string;
  /** A DiscoveryResponse with nothing in it but the Secret: what comes before or after it in bytes is added to it. */
  readonly resource: Uint8Array;
  /** There if the secret holds a private key. */
  readonly svid: X509Svid | undefined;
}

/** False for a certificate that has ended, or not begun since the clock was set back: it must not be handed out. */
export function isCurrent({ svid }: EncodedSecret, now: number): boolean {
  return svid === undefined || isValidAt(svid, now);
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

const ofSvid = new WeakMap<X509Svid, Map<string, EncodedSecret>>();
const ofBundle = new WeakMap<TrustBundle, Map<string, EncodedSecret>>();

/** The SVID as a `tls_certificate` under the name that was asked for. */
export function certificateSecret(name: string, svid: X509Svid): EncodedSecret {
  return cached(ofSvid, svid, name, () =>
    encode(
      {
        name,
        tlsCertificate: {
          certificateChain: { inlineBytes: svid.certificateChain },
          privateKey: { inlineBytes: svid.privateKey },
        },
      },
      svid,
    ),
  );
}

/** The bundle as a `validation_context` under the name that was asked for. */
export function bundleSecret(name: string, bundle: TrustBundle, validation: Validation): EncodedSecret {
  return cached(ofBundle, bundle, `${validation} ${name}`, () =>
    encode(
      { name, validationContext: validation === 'spiffe' ? spiffeValidator(bundle) : trustedCa(bundle) },
      undefined,
    ),
  );
}

function spiffeValidator(bundle: TrustBundle) {
  const trustDomains = [{ name: bundle.trustDomain, trustBundle: { inlineBytes: bundle.pem } }];
  const value = Buffer.from(
    SPIFFECertValidatorConfig.encode(SPIFFECertValidatorConfig.fromPartial({ trustDomains })).finish(),
  );
  return { customValidatorConfig: { name: VALIDATOR_NAME, typedConfig: { typeUrl: VALIDATOR_TYPE_URL, value } } };
}

function trustedCa(bundle: TrustBundle) {
  return { trustedCa: { inlineBytes: bundle.pem } };
}

function encode(secret: Parameters<typeof Secret.fromPartial>[0], svid: X509Svid | undefined): EncodedSecret {
  const bytes = Secret.encode(Secret.fromPartial(secret)).finish();
  const version = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  return { name: secret.name!, version, resource: asResource(bytes), svid };
}

function asResource(secret: Uint8Array): Uint8Array {
  const resources = [{ typeUrl: SECRET_TYPE_URL, value: Buffer.from(secret) }];
  return DiscoveryResponse.encode(DiscoveryResponse.fromPartial({ resources })).finish();
}

function cached<Source extends object>(
  cache: WeakMap<Source, Map<string, EncodedSecret>>,
  source: Source,
  key: string,
  make: () => EncodedSecret,
): EncodedSecret {
  let secrets = cache.get(source);
  if (secrets === undefined) {
    secrets = new Map();
    cache.set(source, secrets);
  }
  let secret = secrets.get(key);
  if (secret === undefined) {
    secret = make();
    secrets.set(key, secret);
  }
  return secret;
}
