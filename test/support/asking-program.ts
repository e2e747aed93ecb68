/** Opens a stream, asks for a secret and prints the names of each response that comes, until the stream ends: SOCKET NAME. */

import { namesOf, SdsClient } from './sds-client.ts';

const [socket, name] = process.argv.slice(2) as [string, string];
const stream = new SdsClient(socket).stream();
void stream.status.then(() => process.exit());
stream.ask(name);
for (;;) {
  const response = await stream.next();
  console.log(namesOf(response).join(' '));
  stream.ack(response);
}
