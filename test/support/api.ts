// What lives here: a real HTTP server as an upstream that does as it is told, with a log of its own.
// Invariant: what the tests say about calls is what this server saw, not what the clients believe.
// Apart because every test about outages needs an upstream that fails.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as the server saw it. */
export interface Seen {
  /** In ms since 1970. */
  readonly at: number;
  readonly path: string;
  readonly status: number;
  readonly token: string;
}

/** A status, or `undefined` to say nothing at all. */
export type Answer = (request: { path: string; token: string; nth: number }) => number | undefined;

export interface Api {
  readonly url: string;
  readonly seen: readonly Seen[];
  /** What it answers from now on. */
  answer(with_: Answer | number): void;
  /** Most requests within any second, of those after `from` that were answered so. */
  peak(from?: number): number;
  close(): Promise<void>;
}

/** `latencyMs`: how long each answer takes. */
export async function startApi(answer: Answer | number = 200, latencyMs = 0): Promise<Api> {
  const seen: Seen[] = [];
  let current = answer;
  const reply = (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url ?? '/';
    const token = request.headers['authorization'] ?? '';
    const status = typeof current === 'number' ? current : current({ path, token, nth: seen.length + 1 });
    seen.push({ at: Date.now(), path, status: status ?? 0, token });
    if (status === undefined) return;
    setTimeout(() => response.writeHead(status, { 'content-type': 'application/json' }).end('{}'), latencyMs);
  };
  const server = createServer(reply);
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    answer: (next) => {
      current = next;
    },
    peak: (from = 0) => peakOf(seen.filter(({ at }) => at >= from).map(({ at }) => at)),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Most of the moments within any 1,000 ms. */
export function peakOf(moments: readonly number[]): number {
  const sorted = moments.toSorted((a, b) => a - b);
  let peak = 0;
  for (let last = 0, first = 0; last < sorted.length; last++) {
    while (sorted[last]! - sorted[first]! >= 1_000) first++;
    peak = Math.max(peak, last - first + 1);
  }
  return peak;
}
