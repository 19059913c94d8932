// What is promised here: with real name resolution and a name server that is silent about ten names, their calls end in time and a neighbour feels nothing.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const program = join(import.meta.dirname, 'http-names.ts');

/** Runs the program in a network and with a resolv.conf of its own. Undefined: this machine does not let us make one. */
async function inOwnNetwork(): Promise<Record<string, unknown> | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'mendflow-names-'));
  await writeFile(join(dir, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:5 attempts:2\n');
  const setUp = `ip link set lo up && mount --bind ${dir}/resolv.conf /etc/resolv.conf`;
  try {
    const possible = await run('unshare', ['-n', '-m', 'sh', '-c', setUp]).then(
      () => true,
      () => false,
    );
    if (!possible) return undefined;
    const command = `${setUp} && exec "${process.execPath}" --import tsx "${program}"`;
    const { stdout } = await run('unshare', ['-n', '-m', 'sh', '-c', command], {
      env: { ...process.env, UV_THREADPOOL_SIZE: '64' },
      timeout: 90_000,
    });
    return JSON.parse(stdout) as Record<string, unknown>;
  } finally {
    await rm(dir, { recursive: true });
  }
}

it('a name server that is silent about ten names costs 200 calls their deadline and nobody else anything', async (context) => {
  const seen = await inOwnNetwork();
  if (!seen) {
    console.warn(
      'SKIPPED: hung names with real name resolution need `unshare -n -m` and `ip`, which this machine refuses.',
    );
    context.skip();
    return;
  }
  console.log(JSON.stringify(seen));
  expect(seen['ended']).toEqual({ 'net_timeout/no': 200 });
  expect(seen['none']).toBe('dns_unknown/no');
  expect(seen['fail']).toMatch(/^dns_(again|failed)\/no$/);
  const [, calmP99] = seen['calmMs'] as [number, number];
  const [, besideP99] = seen['besideMs'] as [number, number];
  // Hung lookups without bound cost a neighbour seconds; noise on a small machine costs it milliseconds.
  expect(besideP99).toBeLessThan(calmP99 + 1_000);
  expect(seen['pages']).toBe(5);
  expect(seen['canary'], 'the read never moves; the call after it is resolved again').toEqual([0, 1]);
});
