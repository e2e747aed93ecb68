/** The registry and the authority of an agent: those of a server on another host. */

export { RemoteAuthority } from './authority.ts';
export { createMirror } from './mirror.ts';
export { Reporter } from './reporter.ts';
export { RemoteTokens } from './tokens.ts';
