// What lives here: failures of name servers: one of our own on the loopback address, which answers as it is told.
// Invariant: no name is asked for anywhere else, but one that by its ending exists nowhere.
// Apart because names are resolved in two ways, by the system and by Node, which fail in different words.
import { lookup, Resolver } from 'node:dns';
import { createSocket } from 'node:dgram';
import { promisify } from 'node:util';
import type { Provocation, Scene } from './provoke.ts';

/** A name server that gives every question the same answer code; `undefined` gives none. */
async function nameServer(scene: Scene, answer: number | undefined): Promise<Resolver> {
  const socket = createSocket('udp4');
  socket.on('message', (question, { port, address }) => {
    if (answer === undefined) return;
    const reply = Buffer.from(question);
    reply.writeUInt16BE(0x8180 | answer, 2);
    socket.send(reply, port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  scene.defer(() => socket.close());
  const resolver = new Resolver({ timeout: 200, tries: 1 });
  resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  return resolver;
}
const ask = (resolver: Resolver): Promise<unknown> =>
  new Promise((resolve, reject) => {
    resolver.resolve4('quakes.example', (error, found) => (error ? reject(error) : resolve(found)));
  });

export const nameFailures: readonly Provocation[] = [
  {
    what: 'DNS: the system knows no such name',
    code: 'dns_unknown',
    or: 'dns_again',
    raise: async () => await promisify(lookup)('no-such-name.invalid'),
  },
  { what: 'DNS: no such name', code: 'dns_unknown', raise: async (scene) => await ask(await nameServer(scene, 3)) },
  {
    what: 'DNS: a name without an address',
    code: 'dns_unknown',
    raise: async (scene) => await ask(await nameServer(scene, 0)),
  },
  { what: 'DNS: the server failed', code: 'dns_failed', raise: async (scene) => await ask(await nameServer(scene, 2)) },
  {
    what: 'DNS: the server refused',
    code: 'dns_failed',
    raise: async (scene) => await ask(await nameServer(scene, 5)),
  },
  {
    what: 'DNS: the server is silent',
    code: 'dns_again',
    raise: async (scene) => await ask(await nameServer(scene, undefined)),
  },
  {
    what: 'DNS: given up by us',
    code: 'cancelled',
    raise: async (scene) => {
      const resolver = await nameServer(scene, undefined);
      const asked = ask(resolver);
      resolver.cancel();
      await asked;
    },
  },
];
