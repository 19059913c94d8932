// What lives here: the demo upstream: a small HTTP service in the shape of the public earthquake service that fails as it is told.
// Invariant: loopback only; what stop() returns from has closed every socket; its control has a port of its own, so it answers during an outage.
// Apart from the package: pipelines are shown and tested against it, and nothing of it is shipped.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Answer, json, pageOf, plain, send, statusOf } from './answer.ts';
import { controlOf } from './control.ts';
import { type Fault, playScript, type Route, type Rule } from './faults.ts';
import { type LogLine, openLog, tokenHash } from './log.ts';
import { LIMIT_MAX, matching, readQuery } from './quakes.ts';

export interface DemoUpstreamOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** Default: a free one. */
  readonly controlPort?: number;
  /** For rules with a share. Default 1. */
  readonly seed?: number;
  /** More calls than this within 1,000 ms are answered 429 with Retry-After: 1. Default: any number. */
  readonly callsPerSecond?: number;
  /** Only `authorization: Bearer <token>` is accepted, everything else is answered 401. Default: everybody is served. */
  readonly token?: string;
  readonly script?: readonly Rule[];
  /** Each request is also appended here, as a line of JSON. */
  readonly logFile?: string;
}

/** What may be changed while it runs, in process by these functions or from outside by POST /control. */
export interface DemoUpstreamChanges {
  readonly script?: readonly Rule[];
  /** Null: everybody is served again. */
  readonly token?: string | null;
  /** Null: no limit. */
  readonly callsPerSecond?: number | null;
  /** True: connections are refused, the standing ones cut; false: it listens again, on the same port. */
  readonly refused?: boolean;
}

export interface DemoUpstream {
  /** `http://127.0.0.1:<port>`. */
  readonly address: string;
  /** Where another process sends POST /control and GETs /control/log. */
  readonly control: string;
  readonly log: () => readonly LogLine[];
  /** Replaces the script; its requests are counted from 1 again. */
  readonly script: (rules: readonly Rule[]) => void;
  /** The credential that is accepted from now on. */
  readonly rotate: (token: string) => void;
  readonly change: (changes: DemoUpstreamChanges) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const HOST = '127.0.0.1';

/** Starts it. Throws if the port is taken. */
export async function startDemoUpstream(options: DemoUpstreamOptions = {}): Promise<DemoUpstream> {
  const log = openLog(options.logFile);
  const seed = options.seed ?? 1;
  let play = playScript(options.script ?? [], seed);
  let { token, callsPerSecond } = options as { token?: string | undefined; callsPerSecond?: number | undefined };
  const served: number[] = [];

  const refusedFor = (request: IncomingMessage): { answer: Answer; why: 'token' | 'rate' } | undefined => {
    const now = performance.now();
    while (served.length > 0 && now - served[0]! >= 1_000) served.shift();
    if (callsPerSecond !== undefined && served.length >= callsPerSecond)
      return { answer: plain(429, 'Too many calls.\n', { 'retry-after': '1' }), why: 'rate' };
    served.push(now);
    if (token === undefined || request.headers.authorization === `Bearer ${token}`) return undefined;
    return { answer: plain(401, 'Not this credential.\n', { 'www-authenticate': 'Bearer' }), why: 'token' };
  };

  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://demo');
    const route = routeOf(url.pathname);
    const fault = play(route);
    // A server that is down knows no credentials, so the script comes first; what it answers rightly is checked.
    const refused = fault?.kind === 'status' || fault?.kind === 'hang' ? undefined : refusedFor(request);
    const answer = refused?.answer ?? answerTo(route, url, fault);
    const said = bearerOf(request);
    log.add({
      method: request.method ?? '',
      path: url.pathname + url.search,
      route,
      status: refused ? answer.status : statusOf(answer, fault),
      ...(refused ? { fault: refused.why } : fault ? { fault: fault.kind } : {}),
      ...(said === undefined ? {} : { token: tokenHash(said) }),
    });
    request.resume();
    send(response, answer, refused ? undefined : fault, request.headers['accept-encoding'] ?? '');
  };

  let server = await listen(serve, options.port ?? 0);
  const { port } = server.address() as AddressInfo;
  let changing = Promise.resolve();
  const refuse = async (refused: boolean): Promise<void> => {
    if (refused && server.listening) await close(server);
    else if (!refused && !server.listening) server = await listen(serve, port);
  };
  const change = async (changes: DemoUpstreamChanges): Promise<void> => {
    if (changes.script !== undefined) play = playScript(changes.script, seed);
    if (changes.token !== undefined) token = changes.token ?? undefined;
    if (changes.callsPerSecond !== undefined) callsPerSecond = changes.callsPerSecond ?? undefined;
    const { refused } = changes;
    // One after the other: two changes at once would listen twice on one port.
    if (refused !== undefined) await (changing = changing.catch(() => undefined).then(() => refuse(refused)));
  };
  const control = await listen(controlOf({ log, change }), options.controlPort ?? 0);
  return {
    address: `http://${HOST}:${port}`,
    control: `http://${HOST}:${(control.address() as AddressInfo).port}`,
    log: () => log.lines(),
    script: (rules) => void (play = playScript(rules, seed)),
    rotate: (next) => void (token = next),
    change,
    stop: async () => {
      await changing.catch(() => undefined);
      await Promise.all([close(server), close(control)]);
    },
  };
}

const routes: Readonly<Record<string, Route>> = {
  '/fdsnws/event/1/query': 'query',
  '/fdsnws/event/1/count': 'count',
  '/health': 'health',
};
const routeOf = (path: string): Route => (Object.hasOwn(routes, path) ? routes[path]! : 'other');

function answerTo(route: Route, url: URL, fault: Fault | undefined): Answer {
  if (route === 'health') return json({ status: 'ok' });
  if (route === 'other') return plain(404, `There is nothing at ${url.pathname}.\n`);
  const query = readQuery(url.searchParams);
  if (typeof query === 'string') return plain(400, `${query}\n`);
  const found = matching(query);
  if (route === 'count') return json({ count: found.length, maxAllowed: LIMIT_MAX });
  const features = pageOf(found, query, fault);
  return json({
    type: 'FeatureCollection',
    metadata: {
      generated: Date.now(),
      url: url.pathname + url.search,
      title: 'Earthquakes of the demo upstream',
      status: 200,
      api: '1.14.1',
      limit: query.limit,
      offset: query.offset,
      count: features.length,
    },
    features,
  });
}

const bearerOf = (request: IncomingMessage): string | undefined =>
  /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];

async function listen(serve: RequestListener, port: number): Promise<Server> {
  const server = createServer(serve);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, resolve);
  });
  return server;
}

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
