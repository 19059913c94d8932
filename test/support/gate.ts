// What lives here: a way to a database that a test can shut and open.
// Invariant: open, it forwards every byte; shut, it lets none through, old connections included.
// Apart because a store that is away looks the same to every test.
import { type AddressInfo, connect as dial, createServer, type Server, type Socket } from 'node:net';

/** A way to the database that can be shut, refusing or swallowing everything, and opened again. */
export interface Gate {
  readonly url: string;
  set(state: 'open' | 'refuses' | 'swallows'): void;
  close(): Promise<void>;
}

export async function gateTo(address: string): Promise<Gate> {
  const target = new URL(address);
  const sockets = new Set<Socket>();
  let state: 'open' | 'refuses' | 'swallows' = 'open';
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined); // Losing connections is what this gate is for.
    socket.on('close', () => sockets.delete(socket));
  };
  const server: Server = createServer((client) => {
    keep(client);
    if (state === 'refuses') return void client.destroy();
    if (state === 'swallows') return void client.resume();
    const upstream = dial(Number(target.port), target.hostname);
    keep(upstream);
    client.on('data', (bytes) => state === 'open' && upstream.write(bytes));
    upstream.on('data', (bytes) => state === 'open' && client.write(bytes));
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(address);
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as AddressInfo).port);
  return {
    url: through.href,
    set: (next) => {
      state = next;
      if (next !== 'swallows') for (const socket of sockets) socket.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
