/**
 * The agent's side of the network: knows its server, proves which host it is, keeps its own SVID fresh, and brings entries,
 * bundles and SVIDs from a Sidekey or a SPIRE server.
 */

export { openUplink } from './open.ts';
export type { Mirror, NodeAttestation, ServerTrust, Uplink } from './types.ts';
