// What lives here: the control of a demo upstream for other processes: POST /control changes it, GET /control/log reads its log.
// Invariant: what it cannot read changes nothing and is answered 400 with a reason.
// Apart from the service, so that steering an upstream never counts as a call to it.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { RequestLog } from './log.ts';
import type { DemoUpstreamChanges } from './upstream.ts';

interface Controlled {
  readonly log: RequestLog;
  readonly change: (changes: DemoUpstreamChanges) => Promise<void>;
}

const names = new Set<keyof DemoUpstreamChanges>(['script', 'token', 'callsPerSecond', 'refused']);

export const controlOf =
  (controlled: Controlled): RequestListener =>
  (request, response) =>
    void answer(controlled, request, response).catch((error: unknown) =>
      reply(response, 400, { error: error instanceof Error ? error.message : String(error) }),
    );

async function answer(controlled: Controlled, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { log } = controlled;
  const asked = `${request.method} ${request.url}`;
  if (asked === 'GET /control/log') return reply(response, 200, log.lines());
  if (asked === 'DELETE /control/log') {
    log.clear();
    return reply(response, 200, {});
  }
  if (asked !== 'POST /control') return reply(response, 404, { error: `There is no ${asked}.` });
  const changes: unknown = JSON.parse(await text(request));
  if (changes === null || typeof changes !== 'object' || Array.isArray(changes)) throw new Error('Send an object.');
  for (const name of Object.keys(changes))
    if (!(names as ReadonlySet<string>).has(name)) throw new Error(`"${name}" cannot be changed.`);
  await controlled.change(changes);
  return reply(response, 200, {});
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
