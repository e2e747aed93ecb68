/** The own SVID of the bundle endpoint as the certificate of its server. */

import type { RequestListener, ServerOptions } from 'node:http';
import { createServer, type Server as HttpsServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import type { Clock } from '../../base/index.ts';
import { type CertificateAuthority, OwnSvid } from '../../ca/index.ts';
import { type ServerTls, TLS_CONNECTIONS, TLS_PROTOCOL } from '../../https/index.ts';
import type { Registry } from '../../registry/index.ts';
import type { SpiffeId } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { ENDPOINT_ENTRY_ID } from './endpoint-id.ts';
import type { EndpointState } from './state.ts';

export interface EndpointSvidParts {
  readonly spiffeId: SpiffeId;
  readonly ca: Pick<CertificateAuthority, 'issue' | 'signs' | 'onReplaced'>;
  readonly revocations: Pick<Registry['revocations'], 'get' | 'onChange'>;
  readonly clock: Clock;
  readonly log: Log;
}

export class EndpointSvid implements ServerTls {
  readonly spiffeId: SpiffeId;
  readonly #own: OwnSvid;
  #server: HttpsServer | undefined;
  #onNew: () => void = () => undefined;

  private constructor(spiffeId: SpiffeId, own: OwnSvid) {
    this.spiffeId = spiffeId;
    this.#own = own;
    own.onNew(() => {
      this.#server?.setSecureContext(this.#context());
      this.#onNew();
    });
  }

  /** Issues the first SVID. If that fails, it is tried again, and handshakes fail meanwhile. */
  static async open({ spiffeId, ca, revocations, clock, log }: EndpointSvidParts): Promise<EndpointSvid> {
    const request = { spiffeId, entryId: ENDPOINT_ENTRY_ID, keyType: '' } as const;
    const own = await OwnSvid.open({ ...request, owner: 'the bundle endpoint', ca, revocations, clock, log });
    return new EndpointSvid(spiffeId, own);
  }

  /** A server whose new connections get the newest SVID. */
  createServer(options: ServerOptions, listener: RequestListener): HttpsServer {
    this.#server = createServer({ ...options, ...TLS_CONNECTIONS, ...this.#context() }, listener);
    return this.#server;
  }

  /** Calls the listener for each new SVID. */
  onNew(listener: () => void): void {
    this.#onNew = listener;
  }

  get state(): EndpointState['certificate'] {
    return { files: undefined, notAfter: this.#own.current?.notAfter, problem: this.#own.problem };
  }

  close(): void {
    this.#own.close();
  }

  #context(): SecureContextOptions {
    const svid = this.#own.current;
    if (svid === undefined) return TLS_PROTOCOL;
    return { ...TLS_PROTOCOL, cert: svid.certificateChain, key: svid.privateKey };
  }
}
