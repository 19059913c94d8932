// What lives here: an HTTP server made of raw sockets that plays a script: these bytes, then a wait, then a cut.
// Invariant: it writes what the script says and nothing else, so that every way of breaking HTTP can be staged; it counts what is still open.
// Apart because a server that knows HTTP cannot be made to break it.
import { createServer as createPlain, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createServer as createTls, TLSSocket } from 'node:tls';
import { within } from '../../src/connectors/abort.ts';
import { timeoutMsOf, type Upstream } from '../../src/model/upstream.ts';
import type { UpstreamClient } from '../../src/connectors/upstream.ts';

/** One step of a script: bytes, a wait, bytes one by one, or an end. `reset` ends with RST, `end` with FIN, `hang` never. */
export type Step =
  | string
  | Uint8Array
  | { readonly waitMs: number }
  | { readonly drip: Uint8Array; readonly everyMs: number }
  | { readonly do: 'reset' | 'end' | 'hang' };
export type Script = readonly Step[];

/** A request as it arrived. */
export interface Arrived {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ScriptServer {
  readonly port: number;
  /** `http://127.0.0.1:<port>`, or https. */
  readonly address: string;
  readonly arrived: readonly Arrived[];
  /** Sockets that stand now. */
  sockets(): number;
  /** Sockets there ever were. */
  accepted(): number;
  close(): Promise<void>;
}

export const reset = { do: 'reset' } as const;
export const end = { do: 'end' } as const;
export const hang = { do: 'hang' } as const;

/** Starts a server. `play` gives the script for the n-th request (from 0). */
export async function startScripts(
  play: (request: Arrived, nth: number) => Script,
  options: {
    readonly host?: string;
    readonly port?: number;
    readonly tls?: { key: string; cert: string; ALPNProtocols?: string[] };
  } = {},
): Promise<ScriptServer> {
  const sockets = new Set<Socket>();
  const arrived: Arrived[] = [];
  let accepted = 0;
  const serve = (socket: Socket): void => {
    accepted++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined); // Broken connections are this server's trade.
    onRequests(socket, (request) => {
      arrived.push(request);
      void perform(socket, play(request, arrived.length - 1));
    });
  };
  const server: Server = options.tls ? createTls(options.tls, serve) : createPlain(serve);
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    address: `${options.tls ? 'https' : 'http'}://${options.host ?? '127.0.0.1'}:${port}`,
    arrived,
    sockets: () => sockets.size,
    accepted: () => accepted,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

async function perform(socket: Socket, script: Script): Promise<void> {
  for (const step of script) {
    if (socket.destroyed) return;
    if (typeof step === 'string' || step instanceof Uint8Array) socket.write(step);
    else if ('waitMs' in step) await new Promise((resolve) => setTimeout(resolve, step.waitMs));
    else if ('drip' in step)
      for (const byte of step.drip) {
        if (socket.destroyed) return;
        socket.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, step.everyMs));
      }
    else if (step.do === 'reset') return void cut(socket);
    else if (step.do === 'end') return void socket.end();
    else return;
  }
}

/** A TLS socket cannot be reset; its end without a goodbye comes closest. */
const cut = (socket: Socket): unknown => (socket instanceof TLSSocket ? socket.destroy() : socket.resetAndDestroy());

/** Reads requests with a Content-Length or none, one after the other. */
function onRequests(socket: Socket, got: (request: Arrived) => void): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const head = rest.indexOf('\r\n\r\n');
      if (head < 0) return;
      const [line, ...lines] = rest.toString('latin1', 0, head).split('\r\n');
      const headers = Object.fromEntries(
        lines.map((one) => [one.slice(0, one.indexOf(':')).toLowerCase(), one.slice(one.indexOf(':') + 1).trim()]),
      );
      const length = Number(headers['content-length'] ?? 0);
      if (rest.length < head + 4 + length) return;
      const [method = '', path = ''] = (line ?? '').split(' ');
      got({ method, path, headers, body: rest.toString('utf8', head + 4, head + 4 + length) });
      rest = rest.subarray(head + 4 + length);
    }
  });
}

/** A sound answer with a length. */
export function answer(body: string | Uint8Array, more: { status?: string; headers?: readonly string[] } = {}): Buffer {
  const bytes = Buffer.from(body);
  const lines = [`HTTP/1.1 ${more.status ?? '200 OK'}`, ...(more.headers ?? []), `Content-Length: ${bytes.length}`];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}

export const json = (value: unknown, more: { status?: string; headers?: readonly string[] } = {}): Buffer =>
  answer(JSON.stringify(value), { ...more, headers: ['Content-Type: application/json', ...(more.headers ?? [])] });

/** The smallest upstream client there is: the work under its hard timeout, and no breaker. */
export const plainUpstream = (key: string, declared: Upstream): UpstreamClient => ({
  key,
  declared,
  call: async (work, { signal } = {}) => within(timeoutMsOf(declared), signal, work),
});
