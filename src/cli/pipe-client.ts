/** The gRPC clients of the pipe, which have a bundle of their own: most commands need no gRPC. */

export { connectAgent } from './agent-client.ts';
export { connectPipe } from './sds-client.ts';
export { connectWorkloadApi } from './workload-client.ts';
