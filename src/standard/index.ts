/** gRPC's standard services: health and server reflection. */

export { standardServices } from './service.ts';
