/** Steps of an external client: the redirect, a request in clear text, and requests over mTLS. */

import { expect, wait } from '../expect.ts';
import { type Answer, call } from '../http.ts';
import { step } from '../report.ts';
import { SERVICES, type Service, type Stage } from '../stage.ts';
import { idOf } from './start.ts';

/** An app's answer. */
interface Echo {
  readonly service: string;
  readonly caller: string | null;
}

/** A URL on front-envoy's port 443. */
export function frontUrl(stage: Stage, place: string): string {
  return `https://localhost:${stage.ports['front-envoy'].https}${place}`;
}

/** The path of front-envoy's route to a service. */
export function routeOf(service: Service): string {
  return service.replace('service-', '/service/');
}

/** Sends a GET to front-envoy's port 443. */
export function get(stage: Stage, place: string): Promise<Answer> {
  return call(frontUrl(stage, place), { ca: stage.certificate });
}

export async function showRequests(stage: Stage): Promise<void> {
  const { http, https } = stage.ports['front-envoy'];
  await step('http redirects to https', async () => {
    const { status, headers } = await call(`http://localhost:${http}/some/where`);
    const target = `https://localhost:${https}/some/where`;
    const redirected = status === 301 && headers.location === target;
    expect(redirected, `301 to ${target}`, { status, location: headers.location });
    return { detail: `301 ${target}` };
  });
  await step('/ reaches myservice in clear text', async () => {
    const seen = new Set<string>();
    await wait('both services to answer for myservice', {
      look: async () => {
        const { service, caller } = read(await get(stage, '/'));
        expect(caller === null, 'no SPIFFE ID of a caller in clear text', caller);
        return seen.add(service).size;
      },
      until: (services) => services === SERVICES.length,
    });
    return { detail: `both services answer, and see no SPIFFE ID of the caller` };
  });
  for (const service of SERVICES) await step(`${routeOf(service)} goes through mTLS`, () => mutual(stage, service));
}

async function mutual(stage: Stage, service: Service): Promise<{ detail: string }> {
  const answer = await get(stage, `${routeOf(service)}/hello`);
  const { service: answered, caller } = read(answer);
  const identity = answer.headers['x-service-identity'];
  expect(answered === service, `an answer of ${service}`, answered);
  expect(caller === idOf('front-envoy'), `${service} to have seen ${idOf('front-envoy')}`, caller);
  expect(identity === idOf(service), `front-envoy to have seen ${idOf(service)}`, identity);
  return { detail: `it saw ${caller}, front-envoy saw ${identity}` };
}

function read({ status, body }: Answer): Echo {
  expect(status === 200, 'status 200', `${status} ${body}`);
  return JSON.parse(body) as Echo;
}
