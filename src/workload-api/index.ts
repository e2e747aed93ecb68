/** The SPIFFE Workload API on the pipe. */

export { workloadApi } from './service.ts';
