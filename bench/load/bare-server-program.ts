/** What is compared with: grpc-js on a Unix socket that answers each first request with the same bytes, and no more. */

import net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { obey } from './program.ts';

const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';
const identity = (bytes: Buffer): Buffer => bytes;

obey({ listen });

/** `response`: in base64. */
async function listen({ socket, response }: { socket: string; response: string }): Promise<void> {
  const answer = Buffer.from(response, 'base64');
  // The options with which it is fastest and lightest, which are Sidekey's too.
  const server = new grpc.Server({ 'grpc.enable_channelz': 0, 'grpc.max_receive_message_length': 1024 * 1024 });
  const stream: grpc.handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.once('data', () => {
      call.write(answer);
      call.on('data', () => undefined);
    });
    call.on('end', () => call.end());
  };
  const fetch: grpc.handleUnaryCall<Buffer, Buffer> = (_call, callback) => callback(null, answer);
  server.register(`${SERVICE}/StreamSecrets`, stream, identity, identity, 'bidi');
  server.register(`${SERVICE}/FetchSecrets`, fetch, identity, identity, 'unary');
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const listener = net.createServer((connection) => injector.injectConnection(connection));
  await new Promise<void>((resolve) => listener.listen({ path: socket, backlog: 4096 }, resolve));
}
