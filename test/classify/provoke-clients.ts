// What lives here: failures of undici, fetch, node:http and node:net whose sockets break in each way a socket can.
// Invariant: loopback only; a server plays a script of bytes and cuts.
// Apart because these are the failures of every upstream that is called.
import { createServer } from 'node:http';
import { connect as dial } from 'node:net';
import { Agent, Client } from 'undici';
import { end, hang, reset, type Script } from '../support/http.ts';
import type { Provocation } from './provoke.ts';
import { closedPort, rawServer, serverOf, viaFetch, viaNode, viaUndici } from './provoke-servers.ts';

const cut: Script = ['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', reset];
const ended: Script = ['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', end];
/** Undici looks at its clock about twice a second. */
const SOON_MS = 200;

export const clientFailures: readonly Provocation[] = [
  {
    what: 'undici: connection refused',
    code: 'net_refused',
    raise: async () => await viaUndici(`http://127.0.0.1:${await closedPort()}/`),
  },
  {
    what: 'fetch: connection refused',
    code: 'net_refused',
    raise: async () => await viaFetch(`http://127.0.0.1:${await closedPort()}/`),
  },
  {
    what: 'node:http: connection refused',
    code: 'net_refused',
    raise: async () => await viaNode(`http://127.0.0.1:${await closedPort()}/`),
  },
  ...(['undici', 'fetch', 'node:http'] as const).flatMap((client): Provocation[] => {
    const via = { undici: viaUndici, fetch: viaFetch, 'node:http': viaNode }[client];
    return [
      {
        what: `${client}: reset after the request`,
        code: 'net_reset',
        raise: async (scene) => await via(await serverOf(scene, [reset])),
      },
      {
        what: `${client}: closed without an answer`,
        code: 'net_reset',
        raise: async (scene) => await via(await serverOf(scene, [end])),
      },
      {
        what: `${client}: reset in the middle of the body`,
        code: 'net_reset',
        raise: async (scene) => await via(await serverOf(scene, cut)),
      },
      {
        what: `${client}: no status line`,
        code: 'answer_unreadable',
        raise: async (scene) => await via(await serverOf(scene, ['garbage\r\n\r\n', end])),
      },
    ];
  }),
  {
    what: 'undici: closed in the middle of the body',
    code: 'net_reset',
    raise: async (scene) => await viaUndici(await serverOf(scene, ended)),
  },
  {
    what: 'fetch: closed in the middle of the body',
    code: 'net_reset',
    raise: async (scene) => await viaFetch(await serverOf(scene, ended)),
  },
  {
    what: 'undici: closed in the middle of a chunk',
    code: 'net_reset',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf', end])),
  },
  {
    what: 'undici: headers do not come',
    code: 'net_timeout',
    raise: async (scene) => await viaUndici(await serverOf(scene, [hang]), { headersTimeout: SOON_MS }),
  },
  {
    what: 'undici: the body does not go on',
    code: 'net_timeout',
    raise: async (scene) =>
      await viaUndici(await serverOf(scene, ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf', hang]), {
        bodyTimeout: SOON_MS,
      }),
  },
  {
    what: 'undici: no handshake',
    code: 'net_timeout',
    raise: async (scene) =>
      await viaUndici(`https://127.0.0.1:${await rawServer(scene, () => undefined)}/`, {
        dispatcher: new Agent({ connect: { timeout: SOON_MS } }),
      }),
  },
  {
    what: 'fetch: time limit of a signal',
    code: 'net_timeout',
    raise: async (scene) => await viaFetch(await serverOf(scene, [hang]), { signal: AbortSignal.timeout(SOON_MS) }),
  },
  {
    what: 'undici: time limit of a signal',
    code: 'net_timeout',
    raise: async (scene) => await viaUndici(await serverOf(scene, [hang]), { signal: AbortSignal.timeout(SOON_MS) }),
  },
  {
    what: 'fetch: aborted',
    code: 'cancelled',
    raise: async (scene) => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), SOON_MS);
      await viaFetch(await serverOf(scene, [hang]), { signal: stop.signal });
    },
  },
  {
    what: 'undici: aborted',
    code: 'cancelled',
    raise: async (scene) => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), SOON_MS);
      await viaUndici(await serverOf(scene, [hang]), { signal: stop.signal });
    },
  },
  {
    what: 'undici: client was closed',
    code: 'cancelled',
    raise: async () => {
      const client = new Client('http://127.0.0.1:1');
      await client.close();
      await client.request({ path: '/', method: 'GET' });
    },
  },
  {
    what: 'undici: client was destroyed',
    code: 'cancelled',
    raise: async () => {
      const client = new Client('http://127.0.0.1:1');
      await client.destroy();
      await client.request({ path: '/', method: 'GET' });
    },
  },
  {
    what: 'node:net: connection was cut while writing',
    code: 'net_reset',
    raise: async (scene) => {
      const port = await rawServer(scene, (socket) => socket.resetAndDestroy());
      await new Promise((_, reject) => {
        const socket = dial(port, '127.0.0.1');
        socket.on('error', reject);
        const write = (): void => void (socket.writable && (socket.write('x'), setTimeout(write, 5)));
        write();
      });
    },
  },
  {
    what: 'node:net: port is taken',
    code: 'config_invalid',
    raise: async (scene) => {
      const port = await rawServer(scene, () => undefined);
      await new Promise((_, reject) => createServer().on('error', reject).listen(port, '127.0.0.1'));
    },
  },
  {
    what: 'node:net: socket file is not there',
    code: 'net_refused',
    raise: (scene) => new Promise((_, reject) => dial({ path: `${scene.folder}/none.sock` }).on('error', reject)),
  },
];
