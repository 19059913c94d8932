// What lives here: a way to the database that a test can shut.
// Invariant: open, bytes pass unchanged; refusing, every connection ends; swallowing, nothing ever comes back, as on a network that drops everything.
// Apart because a database that is away shows itself in these two ways, and they need different defences.
import { connect as dial, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Gate {
  /** The address through the gate. */
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
  const server = createServer((client) => {
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
    set(next) {
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
