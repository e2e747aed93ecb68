/** The numbers of an RSA private key (RFC 8017 section 3.2). */

export interface RsaNumbers {
  readonly n: bigint;
  readonly e: bigint;
  readonly d: bigint;
  readonly p: bigint;
  readonly q: bigint;
  readonly dp: bigint;
  readonly dq: bigint;
  readonly qInverse: bigint;
}

/** True if all of them belong to the same key, and so to the public key `n`, `e`. Whether p and q are prime is not checked. */
export function checkRsaNumbers({ n, e, d, p, q, dp, dq, qInverse }: RsaNumbers): boolean {
  if (p * q !== n || p <= 1n || q <= 1n || d >= n) return false;
  const [p1, q1] = [p - 1n, q - 1n];
  const isInverse = (d * e) % p1 === 1n && (d * e) % q1 === 1n;
  return isInverse && dp === d % p1 && dq === d % q1 && qInverse < p && (qInverse * q) % p === 1n;
}
