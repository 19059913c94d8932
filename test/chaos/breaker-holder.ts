// What lives here: the program that holds a trial and kills itself at a point of it.
// Invariant: everything it does is what the package does.
// Apart because a test cannot kill -9 itself.
import { setTimeout as sleep } from 'node:timers/promises';
import { openUpstreams } from '../../src/connectors/upstream.ts';
import { CodedError } from '../../src/model/failure.ts';
import { openPool } from '../../src/store/db.ts';

export interface Orders {
  readonly url: string;
  readonly key: string;
  readonly address: string;
  readonly point: 'after acquire' | 'in mid-call' | 'before the report' | 'after the report';
}

const { url, key, address, point } = JSON.parse(process.argv[2]!) as Orders;
const die = (at: Orders['point']): void => void (at === point && process.kill(process.pid, 'SIGKILL'));

async function hold(): Promise<void> {
  const control = openPool({ url, applicationName: 'holder' });
  const open = await openUpstreams(
    { [key]: { address, timeout: '500 milliseconds', breaker: { cooldownMs: 300, leaseMs: 1 } } },
    { control, databaseUrl: url, worker: 'holder', readSecret: () => undefined },
  );
  const trial = async (signal: AbortSignal): Promise<void> => {
    die('after acquire');
    const asked = fetch(address, { signal, headers: { 'user-agent': 'holder' } });
    setTimeout(() => die('in mid-call'), 80);
    await (await asked).text();
    die('before the report');
  };
  // This process may be up before the cooldown is over.
  for (let held = false; !held;)
    held = await open
      .at(key)
      .call(trial)
      .then(() => true, refused);
  die('after the report');
}

async function refused(error: unknown): Promise<false> {
  if (!(error instanceof CodedError && error.failure.code === 'breaker_open')) throw error;
  await sleep(10);
  return false;
}

await hold();
