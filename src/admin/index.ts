/** The server of the admin API, and the shapes of its JSON. */

export { type Admin, createAdmin } from './admin.ts';
export { createAgentAdmin } from './agent-admin.ts';
export type { AuthoritiesJson } from './ca-schema.ts';
export type { DecisionJson } from './decision-schema.ts';
export type { SelfKnowledge } from './doctor.ts';
export type { DoctorJson } from './doctor-schema.ts';
export type { ExplanationJson } from './explain-schema.ts';
export type { RelationshipViewJson } from './federation-schema.ts';
export type { Readiness, ReadinessPart } from './health.ts';
export type { LevelControl } from './log-level.ts';
export type { ProxyJson, SecretJson, StreamJson } from './proxy-schema.ts';
export { RequestCounts } from './request-counts.ts';
export type {
  RestoredJson,
  RevocationJson,
  RevocationProxyJson,
  RevocationsJson,
  RevokedJson,
} from './revocation-schema.ts';
export type { SourceChangesJson } from './schema.ts';
export { listenAddress, listenOnTcp } from './tcp.ts';
export { AdminToken } from './token.ts';
