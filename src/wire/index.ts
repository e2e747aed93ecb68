/** gRPC on the pipe: the server, and the types of services and calls. */

export { decodeRequest } from './decode.ts';
export {
  type Call,
  type Message,
  type Metadata,
  type Method,
  Status,
  type StatusDetail,
  StatusError,
  type Stream,
  type StreamConnection,
  type StreamEnd,
  type StreamHandler,
  type WirePeer,
} from './types.ts';
export { createWire } from './wire.ts';
