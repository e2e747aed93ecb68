/** Opens streams, each on a connection of its own, says its pid on each and prints what came back: PATH METHOD COUNT. */

import { WireClient } from './wire-client.ts';

const [path, method, count] = process.argv.slice(2) as [string, string, string];
const streams = Array.from({ length: Number(count) }, () => new WireClient(path).stream(method));
for (const stream of streams) stream.send(`${process.pid}`);
console.log(JSON.stringify(await Promise.all(streams.map((stream) => stream.receive()))));
process.exit(0);
