/** The server of the admin API, and the shapes of its JSON. */

export { ADMIN_TOKEN } from './actor.ts';
export { type Admin, createAdmin } from './admin.ts';
export type { AuditPageJson, AuditRowJson } from './audit-schema.ts';
export type { AuthoritiesJson } from './ca-schema.ts';
export type { DecisionJson } from './decision-schema.ts';
export type { SelfKnowledge } from './doctor.ts';
export type { DoctorJson } from './doctor-schema.ts';
export type { ExplanationJson } from './explain-schema.ts';
export type { Readiness, ReadinessPart } from './health.ts';
export type { LevelControl, LogLevelJson } from './log-level.ts';
export type { ProxyJson, ProxyPageJson, SecretJson, StreamJson } from './proxy-schema.ts';
export { RequestCounts } from './request-counts.ts';
export type { AliasJson, BundleJson, SourceChangesJson } from './schema.ts';
export { listenAddress, listenOnTcp } from './tcp.ts';
export { AdminToken } from './token.ts';
