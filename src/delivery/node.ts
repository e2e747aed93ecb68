/** What an Envoy says about itself in its first request. Clients of the Workload API say nothing. */
export interface Node {
  readonly id: string;
  readonly cluster: string;
  /** `1.40.0`; empty if the client does not say. */
  readonly version: string;
}
