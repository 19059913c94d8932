// What lives here: free ports of the loopback address.
// Invariant: a wanted port that is free is the one returned, so that a server comes back at the address its clients know.
// Apart because every server of the stack needs one, and ports picked at once must differ.
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const listen = (port: number): Promise<{ port: number; close: () => Promise<void> } | undefined> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address();
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        close: () => new Promise((closed) => server.close(() => closed())),
      });
    });
  });

const listenPatiently = async (port: number, patienceMs: number): ReturnType<typeof listen> => {
  const until = Date.now() + patienceMs;
  for (;;) {
    const held = await listen(port);
    if (held !== undefined || Date.now() >= until) return held;
    await sleep(50);
  }
};

/**
 * One free port per wish, all different: the wished one if it is free within `patienceMs` (default 0), else any. `undefined` wishes for any.
 * Patience is for a port of one's own server that was just killed: its sockets outlive it for a moment.
 * A port may be taken between this answer and its use, so whoever starts a server tries again on `address in use`.
 */
export const freePorts = async (wishes: readonly (number | undefined)[], patienceMs = 0): Promise<number[]> => {
  const held = [];
  for (const wish of wishes) {
    const one = (wish === undefined ? undefined : await listenPatiently(wish, patienceMs)) ?? (await listen(0));
    if (one === undefined) throw new Error('The system has no free port on 127.0.0.1.');
    held.push(one);
  }
  await Promise.all(held.map((one) => one.close()));
  return held.map((one) => one.port);
};
