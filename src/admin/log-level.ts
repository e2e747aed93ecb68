/** Routes for the level of the log, which can be changed until the server restarts. */

import type { FastifyInstance } from 'fastify';
import Type from 'typebox';
import { type Clock, nearest, SidekeyError } from '../base/index.ts';
import type { AuditStore } from '../registry/index.ts';
import { LOG_LEVELS, type LogLevel } from '../telemetry/index.ts';
import type { ByOf } from './actor.ts';
import { readMember } from './body-member.ts';
import { titled } from './titled.ts';

export interface LevelControl {
  /** The level of the settings, which a restart brings back. */
  readonly setting: LogLevel;
  level(): LogLevel;
  change(level: LogLevel): void;
}

const Level = Type.Enum([...LOG_LEVELS]);

const LOG_LEVEL = titled(
  'LogLevel',
  Type.Object(
    {
      level: { ...Level, description: 'the level now' },
      setting: { ...Level, description: 'the level of the settings (--log-level), which a restart brings back' },
    },
    { additionalProperties: false },
  ),
);

const CHANGE = titled('LogLevelChange', Type.Object({ level: Level }, { additionalProperties: false }));

export interface LogLevelRouteParts {
  readonly logLevel: LevelControl;
  readonly audit: Pick<AuditStore, 'append'>;
  readonly clock: Clock;
}

export function addLogLevelRoutes(app: FastifyInstance, parts: LogLevelRouteParts, byOf: ByOf): void {
  const { logLevel: control, audit, clock } = parts;
  const answer = () => ({ level: control.level(), setting: control.setting });
  app.get(
    '/v1/log-level',
    { schema: { operationId: 'getLogLevel', summary: 'The level of the log', response: { 200: LOG_LEVEL } } },
    answer,
  );

  app.put(
    '/v1/log-level',
    {
      schema: {
        operationId: 'setLogLevel',
        summary: 'Change the level of the log until the server restarts',
        body: CHANGE,
        response: { 200: LOG_LEVEL },
      },
    },
    async (request) => {
      const level = readLevel(request.body);
      const before = control.level();
      if (level !== before) {
        // First, so that nobody turns the log off without a record of it.
        const change = { before: { level: before }, after: { level } };
        await audit.append([{ at: clock.now(), action: 'log_level.changed', by: byOf(request), ...change }]);
        control.change(level);
      }
      return answer();
    },
  );
}

/** @throws ERR_BAD_INPUT */
function readLevel(body: unknown): LogLevel {
  const rule = `the body is {"level":LEVEL}, with one of ${LOG_LEVELS.join(', ')}`;
  const given = readMember(body, 'level', rule);
  const level = LOG_LEVELS.find((one) => one === given);
  if (level !== undefined) return level;
  const meant = typeof given === 'string' ? nearest(given, LOG_LEVELS) : undefined;
  const problem = given === undefined ? 'it is missing' : 'it is not a level';
  throw SidekeyError.badInput([
    { path: '/level', problem: meant === undefined ? problem : `${problem}: is ${meant} meant?`, rule },
  ]);
}
