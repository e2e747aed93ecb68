/**
 * The PKI engine of Vault or OpenBao.
 *
 * @see https://openbao.org/api-docs/secret/pki/#sign-intermediate
 */

import type { X509Certificate } from 'node:crypto';
import { readBundleFile } from './files.ts';
import type { SigningRequest, UpstreamAnswer, UpstreamSource } from './upstream.ts';
import { askVault, VaultError, type VaultRequest, type VaultServer } from './vault-client.ts';
import { type VaultAuth, VaultSession, type VaultSessionOptions } from './vault-session.ts';

export interface VaultOptions extends Pick<VaultSessionOptions, 'clock' | 'log'> {
  readonly server: VaultServer;
  readonly auth: VaultAuth;
  /** Where the PKI engine is mounted: `pki`. */
  readonly mount: string;
  /** Roots, if the mount does not have its own. */
  readonly bundleFile: string | undefined;
}

/** The warning of every answer: the path length 0 was asked for, because Sidekey's intermediates sign only leaves. */
const EXPECTED = /^max path length of the signed certificate is zero/i;

/** Of one request of a check, in milliseconds. */
const CHECK_MS = 10_000;

export class VaultUpstream implements UpstreamSource {
  readonly kind = 'vault';
  readonly description: string;
  readonly #options: VaultOptions;
  readonly #session: VaultSession;
  readonly #path: string;

  private constructor(options: VaultOptions) {
    const { server, auth, mount, clock, log } = options;
    this.#options = options;
    this.#path = `${mount}/root/sign-intermediate`;
    this.description = `vault ${server.address} ${mount}`;
    this.#session = new VaultSession({ server, auth, clock, log, description: this.description });
  }

  /** Does not wait for the server. */
  static open(options: VaultOptions): VaultUpstream {
    const vault = new VaultUpstream(options);
    vault.#session.start();
    return vault;
  }

  problem(): string | undefined {
    return this.#session.problem();
  }

  /** Logs in, and asks whether the token may sign and whether the mount has an authority. */
  async check(): Promise<string> {
    const token = await this.#session.token();
    await this.trusted();
    const mayUpdate = await this.#mayUpdate(token);
    if (mayUpdate === false) throw new Error(`the token may not sign: ${this.#policyRule()}`);
    await this.#checkMount(token);
    return `logged in${mayUpdate ? ', and the token may sign' : ''}; signing was not tried`;
  }

  /**
   * Undefined if the token may not ask.
   * @see https://openbao.org/api-docs/system/capabilities-self/
   */
  async #mayUpdate(token: string): Promise<boolean | undefined> {
    const asked = { method: 'POST', path: 'sys/capabilities-self', token, body: { paths: [this.#path] } } as const;
    try {
      const answer = await this.#ask(asked);
      const { [this.#path]: listed = answer.capabilities } = Object(answer.data) as Record<string, unknown>;
      if (!Array.isArray(listed)) return undefined;
      return listed.includes('update') || listed.includes('root');
    } catch (error) {
      if (error instanceof VaultError && error.status >= 400 && error.status < 500) return undefined;
      throw error;
    }
  }

  /**
   * A token that may do everything may also sign at a mount that does not exist. The certificate of a mount's authority is
   * readable without a policy.
   * @see https://openbao.org/api-docs/secret/pki/#read-issuer-certificate
   */
  async #checkMount(token: string): Promise<void> {
    const { mount } = this.#options;
    try {
      await this.#ask({ method: 'GET', path: `${mount}/cert/ca`, token });
    } catch (error) {
      if (error instanceof VaultError && error.status === 404) throw new Error(this.#explain(error), { cause: error });
      // Other answers do not tell whether it signs.
      if (!(error instanceof VaultError)) throw error;
    }
  }

  #ask(asked: Omit<VaultRequest, 'signal'>): Promise<Readonly<Record<string, unknown>>> {
    return askVault(this.#options.server, { ...asked, signal: AbortSignal.timeout(CHECK_MS) });
  }

  async trusted(): Promise<readonly X509Certificate[] | undefined> {
    const { bundleFile } = this.#options;
    return bundleFile === undefined ? undefined : readBundleFile(bundleFile);
  }

  async sign(request: SigningRequest): Promise<UpstreamAnswer> {
    const token = await this.#session.token();
    try {
      return await this.#sign(token, request);
    } catch (error) {
      if (!(error instanceof VaultError && error.status === 403)) throw error;
      // If the token lacks a permission, a new token would not help.
      if (await this.#session.isGood(token, request.signal)) throw error;
    }
    return this.#sign(await this.#session.token(), request);
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  async #sign(token: string, { csr, life, signal }: SigningRequest): Promise<UpstreamAnswer> {
    const body = {
      csr,
      // Without this, Vault drops the subject and the names of the CSR.
      use_csr_values: true,
      max_path_length: 0,
      ttl: `${Math.floor(life / 1000)}s`,
      format: 'pem',
    };
    const asked = { method: 'POST', path: this.#path, token, body, signal } as const;
    const answer = await askVault(this.#options.server, asked).catch((error: unknown) => {
      throw error instanceof VaultError ? new VaultError(error.status, this.#explain(error)) : error;
    });
    const { certificate, ca_chain: chain, issuing_ca: issuer } = Object(answer.data) as Record<string, unknown>;
    const certificates = [certificate, ...(Array.isArray(chain) ? chain : []), issuer].filter((one) => {
      return typeof one === 'string' && one !== '';
    });
    const warnings = (Array.isArray(answer.warnings) ? answer.warnings.map(String) : []).filter(
      (text) => !EXPECTED.test(text),
    );
    return { certificates, warnings };
  }

  #explain({ status, message }: VaultError): string {
    if (status === 403) return `${message}; ${this.#policyRule()}`;
    if (status === 404) return `${message}; is a PKI engine mounted at ${this.#options.mount} (--vault-mount)?`;
    return message;
  }

  #policyRule(): string {
    return `the policy of the token needs: path "${this.#path}" { capabilities = ["update"] }`;
  }
}
