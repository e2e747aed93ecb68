/** Names for parts of what the OpenAPI document describes. */

import type { PageChanges, ProxyPage, ProxyRow } from '../../gen/admin-api.ts';

/** One connection with its streams and all of its secrets. */
export type ProxyReport = ProxyPage['proxies'][number];
export type Secret = ProxyReport['streams'][number]['secrets'][number];
export type SecretState = Secret['state'];
/** The worst state of its secrets; `none` if it asks for nothing. */
export type ProxyState = ProxyRow['state'];
/** What a message of the live connection says has changed and does not show. */
export type ChangedKind = PageChanges['changed'][number];
