// What lives here: the program of http-names.test.ts: in a network of its own, with a name server that is silent about some names.
// Invariant: names are resolved by the system's own getaddrinfo, which nobody can cancel; nothing leaves this network.
// Apart because resolv.conf belongs to the whole process, and to every other process outside a namespace.
import { createSocket } from 'node:dgram';
import { openHttp } from '../../src/connectors/http/index.ts';
import { CodedError } from '../../src/model/failure.ts';
import { json, plainUpstream, startScripts } from '../support/http.ts';

/** Answers `dead*` never, `none*` with NXDOMAIN, `fail*` with SERVFAIL, `moves*` with another address each time, all others with 127.0.0.1. */
async function nameServer(): Promise<void> {
  const asked = new Map<string, number>();
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
    const name = labels.join('.');
    const type = query.readUInt16BE(at + 1);
    const times = (asked.get(name) ?? 0) + 1;
    asked.set(name, times);
    if (name.startsWith('dead')) return;
    const question = query.subarray(12, at + 5);
    const found = type === 1 && !/^(none|fail)/.test(name);
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (name.startsWith('none') ? 3 : name.startsWith('fail') ? 2 : 0), 2);
    head.writeUInt16BE(found ? 1 : 0, 6);
    head.writeUInt32BE(0, 8);
    const last = name.startsWith('moves') && times > 2 ? 2 : 1;
    const answer = found ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, last]) : Buffer.alloc(0);
    socket.send(Buffer.concat([head, question, answer]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(53, '127.0.0.1', resolve));
}

const codeOf = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'ok',
    (error: unknown) => (error instanceof CodedError ? `${error.failure.code}/${error.failure.commit}` : String(error)),
  );
const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;

await nameServer();
const server = await startScripts(({ path }) => [json({ path }, { headers: ['Connection: close'] })]);
const canary = await startScripts(() => [json({ moved: true })], { host: '127.0.0.2', port: server.port });
const open = (host: string, timeout: '500 milliseconds' | '20 seconds' = '20 seconds') =>
  openHttp(plainUpstream(`http:${host}`, { address: `http://${host}.test:${server.port}`, timeout, concurrency: 50 }), {
    readSecret: () => '',
  });

/** Each call on a connection of its own, so that each is resolved. */
async function callsOf(count: number): Promise<number[]> {
  const alive = open('alive');
  const times: number[] = [];
  for (let nth = 0; nth < count; nth++) {
    const from = performance.now();
    await alive.send('POST', '/', { body: {} });
    times.push(performance.now() - from);
  }
  await alive.close();
  return times;
}

await callsOf(30);
const calm = await callsOf(100);
const deads = Array.from({ length: 10 }, (_, nth) => open(`dead-${nth}`, '500 milliseconds'));
const hung = deads.flatMap((one) => Array.from({ length: 20 }, async () => codeOf(one.get('/'))));
const beside = await callsOf(100);
const ended = await Promise.all(hung);
// The second lookup of this name leads to the canary; the read stays where it began, though no connection is kept.
const moving = open('moves');
let pages = 0;
for await (const _page of moving.pages('/0', (_answer, nth) => (nth < 5 ? `/${nth}` : undefined))) pages++;
const duringRead = canary.arrived.length;
await moving.send('POST', '/', { body: {} });
console.log(
  JSON.stringify({
    calmMs: [percentile(calm, 0.5), percentile(calm, 0.99)],
    besideMs: [percentile(beside, 0.5), percentile(beside, 0.99)],
    ended: Object.fromEntries([...new Set(ended)].map((code) => [code, ended.filter((one) => one === code).length])),
    none: await codeOf(open('none').get('/')),
    fail: await codeOf(open('fail').get('/')),
    pages,
    canary: [duringRead, canary.arrived.length],
  }),
);
process.exit(0);
