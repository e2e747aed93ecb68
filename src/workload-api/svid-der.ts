/** X.509-SVIDs in DER. They are decoded once, since entries with many callers share them. */

import type { X509Svid } from '../ca/index.ts';

const chains = new WeakMap<X509Svid, Buffer>();
const keys = new WeakMap<X509Svid, Buffer>();

/** The certificates one after the other, leaf first. */
export function chainDer(svid: X509Svid): Buffer {
  return cached(chains, svid, svid.certificateChain);
}

/** PKCS#8. */
export function keyDer(svid: X509Svid): Buffer {
  return cached(keys, svid, svid.privateKey);
}

function cached(known: WeakMap<X509Svid, Buffer>, svid: X509Svid, pem: string): Buffer {
  let der = known.get(svid);
  if (der === undefined) {
    der = Buffer.concat(Array.from(pem.matchAll(BLOCK), ([, base64]) => Buffer.from(base64!, 'base64')));
    known.set(svid, der);
  }
  return der;
}

const BLOCK = /-----BEGIN [A-Z ]+-----([^-]+)-----END/g;
