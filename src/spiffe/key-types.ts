/** The types of keys, in SPIRE's spelling. */

/** Keys of roots and intermediates. P-384 signs with SHA-384, the others with SHA-256; RSA with PKCS#1 v1.5. */
export const AUTHORITY_KEY_TYPES = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type AuthorityKeyType = (typeof AUTHORITY_KEY_TYPES)[number];

/** Keys of X.509-SVIDs. */
export const SVID_KEY_TYPES = ['ec-p256', 'rsa-2048'] as const;
export type SvidKeyType = (typeof SVID_KEY_TYPES)[number];
