/**
 * The PKI engine of Vault or OpenBao.
 *
 * @see https://openbao.org/api-docs/secret/pki/#sign-intermediate
 */

import type { X509Certificate } from 'node:crypto';
import { readBundleFile } from './files.ts';
import type { SigningRequest, UpstreamAnswer, UpstreamSource } from './upstream.ts';
import { askVault, VaultError, type VaultServer } from './vault-client.ts';
import { type VaultAuth, VaultSession, type VaultSessionOptions } from './vault-session.ts';

export interface VaultOptions extends Pick<VaultSessionOptions, 'clock' | 'log'> {
  readonly server: VaultServer;
  readonly auth: VaultAuth;
  /** Where the PKI engine is mounted: `pki`. */
  readonly mount: string;
  /** Roots, if the mount does not have its own. */
  readonly bundleFile: string | undefined;
}

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

  async check(): Promise<void> {
    await this.#session.token();
    await this.trusted();
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
    const warnings = Array.isArray(answer.warnings) ? answer.warnings.map(String) : [];
    return { certificates, warnings };
  }

  #explain({ status, message }: VaultError): string {
    if (status === 403)
      return `${message}; the policy of the token needs: path "${this.#path}" { capabilities = ["update"] }`;
    if (status === 404) return `${message}; is a PKI engine mounted at ${this.#options.mount} (--vault-mount)?`;
    return message;
  }
}
