// What lives here: a server that takes so many calls a second and refuses the rest, as a process of its own.
// Invariant: it judges by its own clock; whatever else the tests do on this machine does not make it late.
// Apart because the clients' processes and the test's own would otherwise delay what it sees.
import { createServer } from 'node:http';

// A third more than declared: a process that a busy machine stops for a moment crowds the next second by a call.
const takenPerSecond = Math.ceil((Number(process.argv[2]) * 4) / 3);
const LATENCY_MS = 20;
let isUp = true;
const recent = [];
let seen = [];

const statusNow = () => {
  if (!isUp) return 503;
  const now = performance.now();
  while (recent.length > 0 && now - recent[0] >= 1_000) recent.shift();
  recent.push(now);
  return recent.length > takenPerSecond ? 429 : 200;
};

const server = createServer((request, response) => {
  const status = statusNow();
  seen.push({ at: Date.now(), path: request.url, status });
  setTimeout(() => response.writeHead(status, { 'content-type': 'application/json' }).end('{}'), LATENCY_MS);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.on('message', (order) => {
  if ('up' in order) {
    isUp = order.up;
    process.send({ isUp });
  } else {
    process.send({ seen });
    seen = [];
  }
});
process.on('disconnect', () => process.exit(0));
