// What lives here: a TCP proxy in front of Postgres that knows when a COMMIT passes.
// Invariant: bytes are forwarded unchanged and in order until the test says otherwise; then exactly what it says happens.
// Apart because "the answer to COMMIT got lost" cannot be staged in any other way.
import { connect as dial, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/** pass · cut both sides before the server sees it · let the server see it and lose the answer · keep it back until `release()`. */
export type AtCommit = 'pass' | 'cut-before' | 'cut-answer' | 'hold';

export interface Proxy {
  /** The given address, with this proxy's host and port. */
  readonly url: string;
  /** How many COMMITs came by, held and cut ones included. */
  commits(): number;
  /** Forwards what is held back, if its server still listens. */
  release(): void;
  close(): Promise<void>;
}

/** Decides about the n-th COMMIT of all connections, from 1. Control connections commit too: the first one takes the lease. */
export async function startProxy(url: string, decide: (nth: number) => AtCommit): Promise<Proxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let commits = 0;
  const server = createServer((client) => {
    const upstream = dial(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined); // Cutting connections is this proxy's trade.
      socket.on('close', () => sockets.delete(socket));
    }
    const cut = (): void => {
      client.destroy();
      upstream.destroy();
    };
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    let mute = false;
    upstream.on('data', (bytes) => (mute ? cut() : client.write(bytes)));
    let holding = false;
    const queue: Buffer[] = [];
    const forward = (message: Buffer): void => {
      if (holding) return void queue.push(message);
      const does = isCommit(message) ? decide(++commits) : 'pass';
      if (does === 'cut-before') return cut();
      if (does === 'cut-answer') mute = true;
      if (does !== 'hold') return void upstream.write(message);
      holding = true;
      queue.push(message);
      held.push(() => {
        holding = false;
        for (const part of queue.splice(0)) upstream.write(part);
      });
    };
    const split = messages(forward);
    client.on('data', split);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(url);
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as AddressInfo).port);
  return {
    url: through.href,
    commits: () => commits,
    release: () => held.splice(0).forEach((go) => go()),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

const isCommit = (message: Buffer): boolean => message[0] === 0x51 && message.toString('latin1', 5, 11) === 'commit';

/** Cuts the client's stream into protocol messages. The first one has no type byte. */
function messages(forward: (message: Buffer) => void): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let started = false;
  return (bytes) => {
    rest = rest.byteLength === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (;;) {
      const at = started ? 1 : 0;
      if (rest.byteLength < at + 4) return;
      const length = at + rest.readUInt32BE(at);
      if (rest.byteLength < length) return;
      forward(rest.subarray(0, length));
      rest = rest.subarray(length);
      started = true;
    }
  };
}
