// What lives here: a small process that ends the test stack when the test run ends, however it ends.
// Invariant: it acts once its input closes, which the system does for a killed parent too; it ends only the processes it was told, by pid.
// Apart because a killed process cannot clean up after itself.
import { readFileSync, rmSync } from 'node:fs';

let told = '';
process.stdin.on('data', (part) => {
  told += part;
});
// Ctrl-C reaches the whole process group; the parent's end is what counts here.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => undefined);

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return process.platform !== 'linux';
  }
};

const endOne = async ({ pid, signal }) => {
  if (!isAlive(pid)) return;
  process.kill(pid, signal);
  for (let waitedMs = 0; waitedMs < 10_000 && isAlive(pid); waitedMs += 50)
    await new Promise((next) => setTimeout(next, 50));
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
};

const endAll = async () => {
  const orders = told
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  await Promise.allSettled(orders.filter((order) => order.pid !== undefined).map(endOne));
  for (const order of orders) if (order.remove !== undefined) rmSync(order.remove, { recursive: true, force: true });
};

process.stdin.on('end', () => {
  endAll().then(
    () => process.exit(0),
    (error) => {
      process.stderr.write(`The test stack was not ended cleanly: ${error.stack}\n`);
      process.exit(1);
    },
  );
});
