/**
 * An issuer whose certificate and key are in files that something else renews. The files are checked every few seconds
 * and before each signature. While new files are faulty, the last good ones stay in use, and the problem is logged.
 *
 * Several Sidekeys with the same files are one trust domain: each has an intermediate of its own under the same root.
 */

import { generateKeyPairSync, hash, type KeyObject, type X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { BACKDATE_MS, type Clock, type Deadline, fileVersion, Listeners } from '../../base/index.ts';
import { type TrustDomain, trustDomainId } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { randomSerial, wholeSecond } from '../certificate.ts';
import { readCertificateFields } from '../certificate-fields.ts';
import { elements } from '../der.ts';
import { pem } from '../pem.ts';
import { makeCsr } from './csr.ts';
import { readBundleFile, readCertificateFile, readKeyFile } from './files.ts';
import { signingKey } from './keys.ts';
import { isSelfSigned } from './path.ts';
import { proveAnswer } from './proof.ts';
import type { SigningRequest, UpstreamAnswer, UpstreamSource } from './upstream.ts';

/** Paths are absolute. */
export interface DiskFiles {
  /** The issuer's certificate and those above it, PEM, in any order. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Roots; undefined: the self-signed certificates in `certFile`. */
  readonly bundleFile: string | undefined;
}

export interface DiskOptions {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
}

interface DiskIssuer {
  readonly certificate: X509Certificate;
  /** All certificates of the file. */
  readonly certificates: readonly X509Certificate[];
  readonly privateKey: KeyObject;
  readonly roots: readonly X509Certificate[];
}

/** Interval at which the files are checked, in milliseconds. */
const LOOK_MS = 5_000;
/** The lifetime of the test intermediate for new files, in milliseconds. */
const TRIAL_LIFE = 60_000;

export class DiskUpstream implements UpstreamSource {
  readonly kind = 'disk';
  readonly description: string;
  readonly changed: Listeners<void>;
  readonly #files: DiskFiles;
  readonly #options: DiskOptions;
  #issuer: DiskIssuer | undefined;
  /** The version of the files when they were last read. */
  #version = '';
  #problem: string | undefined;
  #loading: Promise<void> | undefined;
  #nextLook: Deadline | undefined;
  #closed = false;

  private constructor(files: DiskFiles, options: DiskOptions) {
    this.#files = files;
    this.#options = options;
    this.description = `disk ${files.certFile}`;
    this.changed = new Listeners((err) => options.log.error({ err }, 'listener of the upstream failed'));
  }

  /**
   * Reads the files. If they are faulty, the log and `problem()` say so, and signing fails until they are corrected.
   */
  static async open(files: DiskFiles, options: DiskOptions): Promise<DiskUpstream> {
    const disk = new DiskUpstream(files, options);
    await disk.#look();
    disk.#lookLater();
    return disk;
  }

  problem(): string | undefined {
    return this.#problem;
  }

  readonly signsMeanwhile = (): boolean => this.#issuer !== undefined;

  async check(): Promise<string> {
    await this.#look();
    if (this.#problem !== undefined) throw new Error(this.#problem);
    return 'its files sign';
  }

  async trusted(): Promise<readonly X509Certificate[]> {
    return (await this.#current()).roots;
  }

  async sign({ csr, life }: SigningRequest): Promise<UpstreamAnswer> {
    return this.#answer(await this.#current(), csr, life);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#nextLook?.cancel();
    await this.#loading;
  }

  /** The issuer of the newest good files. @throws {Error} if there never were any */
  async #current(): Promise<DiskIssuer> {
    await this.#look();
    if (this.#issuer === undefined) throw new Error(this.#problem);
    return this.#issuer;
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#nextLook = this.#options.clock.after(LOOK_MS, () => {
      void this.#look().finally(() => this.#lookLater());
    });
  }

  /** Reads the files if they have changed or were faulty, since a certificate may have become valid. */
  #look(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #load(): Promise<void> {
    const version = this.#versionNow();
    if (version === this.#version && this.#problem === undefined) return;
    const { log } = this.#options;
    const before = this.#issuer;
    try {
      const issuer = await this.#read();
      this.#issuer = issuer;
      this.#version = version;
      this.#problem = undefined;
      const fields = { upstream: this.description, not_after: issuer.certificate.validToDate };
      log.info(fields, before === undefined ? 'files of the upstream read' : 'files of the upstream read again');
    } catch (error) {
      const problem = (error as Error).message;
      this.#version = version;
      if (problem === this.#problem) return;
      this.#problem = problem;
      const goesOn = before === undefined ? 'no intermediate can be signed' : 'the last good ones stay in use';
      log.error({ upstream: this.description, problem }, `the files of the upstream are broken: ${goesOn}`);
      return;
    }
    if (before !== undefined && !isSame(before, this.#issuer)) this.changed.tell();
  }

  async #read(): Promise<DiskIssuer> {
    const { certFile, keyFile, bundleFile } = this.#files;
    const certificates = readCertificateFile(certFile);
    const privateKey = readKeyFile(keyFile);
    const certificate = certificates.find((one) => one.checkPrivateKey(privateKey));
    if (certificate === undefined)
      throw new Error(`the key in ${keyFile} does not belong to a certificate in ${certFile}`);
    const roots = bundleFile === undefined ? certificates.filter(isSelfSigned) : readBundleFile(bundleFile);
    if (roots.length === 0) {
      throw new Error(
        `${certFile} has no root (no self-signed certificate): give a file with the roots (--upstream-bundle-file)`,
      );
    }
    const issuer = { certificate, certificates, privateKey, roots };
    await this.#try(issuer);
    return issuer;
  }

  /**
   * Signs a test intermediate and checks it, so that faults of the files are found before they are used.
   */
  async #try(issuer: DiskIssuer): Promise<void> {
    const { trustDomain, clock } = this.#options;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await makeCsr({ trustDomain, subject: [], privateKey });
    const answer = await this.#answer(issuer, csr, TRIAL_LIFE);
    const terms = { trustDomain, privateKey, trusted: issuer.roots, leastLife: 0, now: clock.now() };
    await proveAnswer(answer, terms);
  }

  async #answer(issuer: DiskIssuer, csr: string, life: number): Promise<UpstreamAnswer> {
    const { trustDomain, clock } = this.#options;
    const { validToDate } = issuer.certificate;
    if (clock.now() >= validToDate.getTime()) {
      throw new Error(`the certificate in ${this.#files.certFile} expired at ${validToDate.toISOString()}`);
    }
    const terms = { id: trustDomainId(trustDomain), now: clock.now(), life };
    const signed = await signIntermediate(issuer, csr, terms);
    return { certificates: [signed, ...[...issuer.certificates, ...issuer.roots].map(({ raw }) => raw)] };
  }

  #versionNow(): string {
    const { certFile, keyFile, bundleFile } = this.#files;
    const versions = [certFile, keyFile, ...(bundleFile === undefined ? [] : [bundleFile])].map((file) => {
      // Links are followed: certbot and Kubernetes renew by replacing one.
      try {
        return fileVersion(statSync(file, { bigint: true }));
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? 'unreadable';
      }
    });
    return versions.join(' ');
  }
}

/** Signs the CSR's subject and key as an intermediate that signs leaves only and ends no later than its issuer. */
async function signIntermediate(
  { certificate, privateKey }: DiskIssuer,
  csrPem: string,
  { id, now, life }: { readonly id: string; readonly now: number; readonly life: number },
): Promise<string> {
  const x509 = await import('../peculiar.ts');
  const csr = new x509.Pkcs10CertificateRequest(csrPem);
  const { privateKey: signer, algorithm } = signingKey(privateKey);
  const { subject, keyId } = readCertificateFields(certificate.raw);
  const notBefore = Math.max(now - BACKDATE_MS, certificate.validFromDate.getTime());
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial().toString('hex'),
    subject: new x509.Name(subjectOf(Buffer.from(csr.rawData))),
    issuer: new x509.Name(subject),
    notBefore: new Date(wholeSecond(notBefore)),
    notAfter: new Date(wholeSecond(Math.min(now + life, certificate.validToDate.getTime()))),
    publicKey: csr.publicKey,
    signingKey: signer,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.BasicConstraintsExtension(true, 0, true),
      await x509.SubjectKeyIdentifierExtension.create(csr.publicKey),
      new x509.AuthorityKeyIdentifierExtension(keyId ?? keyIdOf(certificate.publicKey)),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: id }]),
    ],
  });
  return pem('CERTIFICATE', Buffer.from(made.rawData));
}

/** The subject of a CSR, DER. */
function subjectOf(csr: Buffer): Buffer {
  const [info] = elements(elements(csr)[0]!.contents);
  return elements(info!.contents)[1]!.whole;
}

/** RFC 5280 section 4.2.1.2, method 1. */
function keyIdOf(publicKey: KeyObject): string {
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const [, bits] = elements(elements(spki)[0]!.contents);
  return hash('sha1', bits!.contents.subarray(1));
}

function isSame(a: DiskIssuer, b: DiskIssuer | undefined): boolean {
  const prints = (issuer: DiskIssuer | undefined) =>
    [issuer?.certificate, ...(issuer?.roots ?? [])].map((one) => one?.fingerprint256).join(' ');
  return prints(a) === prints(b);
}
