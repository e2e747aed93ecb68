/** Validation contexts of bundles with revocation lists, as secrets. */

import { Secret } from '../../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DiscoveryResponse } from '../../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { bundleSecret, type ValidationForm } from '../../../src/sds/secrets.ts';
import type { TrustBundle } from '../../../src/spiffe/bundle.ts';

/** The secret that Sidekey sends. */
export function contextSecret(name: string, form: ValidationForm, ...bundles: TrustBundle[]): Secret {
  const [resource] = DiscoveryResponse.decode(bundleSecret(name, bundles, form).sotw).resources;
  return Secret.decode(resource!.value);
}

/** A plain context with `only_verify_leaf_cert_crl`. */
export function leafOnlySecret(name: string, bundle: TrustBundle): Secret {
  const { validationContext } = contextSecret(name, 'plain', bundle);
  return Secret.fromPartial({ name, validationContext: { ...validationContext, onlyVerifyLeafCertCrl: true } });
}

/** The SPIFFE validator with the authorities of a bundle, and beside it the lists in the field of the plain form. */
export function listsBesideSecret(name: string, authorities: TrustBundle, { crlsPem }: TrustBundle): Secret {
  const { validationContext } = contextSecret(name, 'spiffe', authorities);
  return Secret.fromPartial({ name, validationContext: { ...validationContext, crl: { inlineBytes: crlsPem } } });
}

const UNREADABLE = Buffer.from('-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n');

/** The bundle with an unreadable list at its end. */
export function withUnreadableList(bundle: TrustBundle): TrustBundle {
  const [pem, crlsPem] = [bundle.pem, bundle.crlsPem].map((text) => Buffer.concat([text, UNREADABLE])) as [
    Buffer,
    Buffer,
  ];
  return { ...bundle, pem, crlsPem };
}
