/** Runs a program as a case has it, beside a server that answers what was recorded. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import type { Answers, Case } from './cases.ts';

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Mode and content of each file that was written. */
  readonly files: Readonly<Record<string, string>>;
}

const PATHS = [
  ['/SpiffeWorkloadAPI/FetchX509SVID', true],
  ['/SpiffeWorkloadAPI/FetchJWTBundles', true],
  ['/SpiffeWorkloadAPI/FetchJWTSVID', false],
  ['/SpiffeWorkloadAPI/ValidateJWTSVID', false],
  ['/grpc.health.v1.Health/Check', false],
] as const;

async function serveAnswers(socket: string, answers: Answers): Promise<grpc.Server> {
  const server = new grpc.Server();
  const bytes = (value: Buffer) => value;
  for (const [method, responseStream] of PATHS) {
    const { messages = [], status } = answers[method] ?? {};
    const isSilent = answers[method] === undefined;
    const name = method.slice(method.lastIndexOf('/') + 1);
    const definition = {
      [name]: {
        path: method,
        requestStream: false,
        responseStream,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    } as grpc.ServiceDefinition;
    const handler = responseStream
      ? (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
          for (const message of messages) call.write(Buffer.from(message, 'base64'));
          if (status !== undefined) call.emit('error', status);
        }
      : (_: unknown, answer: grpc.sendUnaryData<Buffer>) => {
          if (isSilent) return;
          if (status !== undefined) answer(status);
          else answer(null, Buffer.from(messages[0]!, 'base64'));
        };
    server.addService(definition, { [name]: handler });
  }
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  return server;
}

/** @param command the program that takes the place of `spire-agent`, with its first arguments */
export async function runCase(
  { args, interrupt }: Case,
  answers: Answers,
  command: readonly string[],
): Promise<Outcome> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-agent-'));
  try {
    const [socket, out] = [path.join(folder, 's'), path.join(folder, 'out')];
    mkdirSync(out);
    const server = await serveAnswers(socket, answers);
    const given = args.map((arg) => arg.replace('SOCKET', socket).replace('OUT', out));
    const child = spawn(command[0]!, [...command.slice(1), ...given], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    const told = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        told[stream] += text;
        if (interrupt !== undefined && !child.killed && told.stdout.includes(interrupt)) child.kill('SIGINT');
      });
    }
    const [status] = (await once(child, 'close')) as [number | null];
    server.forceShutdown();
    const words = (text: string) => comparable(text.replaceAll(socket, 'SOCKET').replaceAll(out, 'OUT'));
    const files = Object.fromEntries(
      readdirSync(out)
        .sort()
        .map((name) => {
          const file = path.join(out, name);
          return [name, `${(statSync(file).mode & 0o777).toString(8)} ${readFileSync(file, 'utf8')}`];
        }),
    );
    return { status, stdout: words(told.stdout), stderr: words(told.stderr), files };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Without what differs from call to call: times that were measured, and the spaces that Go's protojson adds at random. */
function comparable(text: string): string {
  return text
    .replace(/( after )[\d.]+(?:ns|µs|ms|s)$/gm, '$1TIME')
    .replace(/^(Claims {4}: )(.*)$/gm, (_, head: string, json: string) => head + JSON.stringify(JSON.parse(json)));
}
