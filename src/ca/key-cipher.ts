/**
 * Encrypts private keys with a passphrase: PKCS#8 with PBES2, scrypt and AES-256 in CBC mode, which OpenSSL reads.
 *
 * @see RFC 5958 section 3 (EncryptedPrivateKeyInfo), RFC 8018 section 6.2 and appendix B.2.5, RFC 7914 section 7
 * (scrypt)
 */

import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject, randomBytes, scrypt } from 'node:crypto';
import { elements, integer, octetString, oid, sequence } from './der.ts';
import { pem, pemBytes } from './pem.ts';

/** The scrypt parameters that OWASP recommends, within the 32 MiB that OpenSSL allows by default. */
const COSTS: Costs = { N: 16_384, r: 8, p: 5 };
const MAX_MEMORY = 32 * 1024 * 1024;
const SALT_BYTES = 16;
const IV_BYTES = 16;
const KEY_BYTES = 32;

const PBES2 = oid('1.2.840.113549.1.5.13');
const SCRYPT = oid('1.3.6.1.4.1.11591.4.11');
const AES_256_CBC = oid('2.16.840.1.101.3.4.1.42');

type Costs = Readonly<Record<'N' | 'r' | 'p', number>>;

/** The inputs of the derivation of an AES key, besides the passphrase. */
interface Derivation {
  readonly salt: Buffer;
  readonly costs: Costs;
}

export class KeyCipher {
  readonly #passphrase: string;
  /** The derived keys. Derivation is slow, so all files share a salt. */
  readonly #derived = new Map<string, Promise<Buffer>>();
  #salt: Buffer | undefined;

  /** @param passphrase ASCII */
  constructor(passphrase: string) {
    this.#passphrase = passphrase;
  }

  /** The key as one block ENCRYPTED PRIVATE KEY, PEM. */
  async encrypt(key: KeyObject): Promise<string> {
    this.#salt ??= randomBytes(SALT_BYTES);
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-cbc', await this.#derive({ salt: this.#salt, costs: COSTS }), iv);
    const plain = key.export({ format: 'der', type: 'pkcs8' });
    const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
    plain.fill(0);
    const derivation = sequence(
      SCRYPT,
      sequence(octetString(this.#salt), count(COSTS.N), count(COSTS.r), count(COSTS.p)),
    );
    const algorithm = sequence(PBES2, sequence(derivation, sequence(AES_256_CBC, octetString(iv))));
    return pem('ENCRYPTED PRIVATE KEY', sequence(algorithm, octetString(encrypted)));
  }

  /** Reads a block of this or another algorithm that OpenSSL knows. @throws {Error} if the passphrase is wrong */
  async decrypt(block: string): Promise<KeyObject> {
    const own = parse(pemBytes(block));
    // OpenSSL reads other forms, such as the default of the openssl command; it derives the key again for each.
    if (own === undefined) return createPrivateKey({ key: block, passphrase: this.#passphrase });
    const { iv, encrypted, ...derivation } = own;
    const decipher = createDecipheriv('aes-256-cbc', await this.#derive(derivation), iv);
    const plain = Buffer.concat([decipher.update(encrypted), decipher.final()]);
    const key = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
    plain.fill(0);
    if (isSame(derivation.costs, COSTS)) this.#salt ??= derivation.salt;
    return key;
  }

  #derive({ salt, costs }: Derivation): Promise<Buffer> {
    const name = [salt.toString('hex'), costs.N, costs.r, costs.p].join();
    let derived = this.#derived.get(name);
    if (derived === undefined) {
      derived = new Promise((resolve, reject) => {
        const done = (error: Error | null, key: Buffer) => (error === null ? resolve(key) : reject(error));
        scrypt(this.#passphrase, salt, KEY_BYTES, { ...costs, maxmem: MAX_MEMORY }, done);
      });
      this.#derived.set(name, derived);
    }
    return derived;
  }
}

/** The parts of a block with this algorithm; undefined for another one. */
function parse(der: Buffer): (Derivation & { iv: Buffer; encrypted: Buffer }) | undefined {
  try {
    const [algorithm, encrypted] = inside(der);
    const [scheme, parameters] = inside(algorithm!.whole);
    const [derivation, encryption] = inside(parameters!.whole);
    const [kdf, given] = inside(derivation!.whole);
    const [cipher, iv] = inside(encryption!.whole);
    const isOwn = scheme!.whole.equals(PBES2) && kdf!.whole.equals(SCRYPT) && cipher!.whole.equals(AES_256_CBC);
    if (!isOwn) return undefined;
    const [salt, N, r, p] = inside(given!.whole);
    const costs = { N: numberOf(N!.contents), r: numberOf(r!.contents), p: numberOf(p!.contents) };
    return { salt: salt!.contents, costs, iv: iv!.contents, encrypted: encrypted!.contents };
  } catch {
    return undefined;
  }
}

function inside(der: Buffer): ReturnType<typeof elements> {
  return elements(elements(der)[0]!.contents);
}

function numberOf(bytes: Buffer): number {
  return bytes.readUIntBE(0, bytes.length);
}

function count(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return integer(bytes);
}

function isSame(a: Costs, b: Costs): boolean {
  return a.N === b.N && a.r === b.r && a.p === b.p;
}
