// What is promised here: from an empty folder, the command line alone brings up a stack, runs a pipeline on it, and ends it.
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stackStatus } from '../../src/stack/index.ts';

const repository = join(import.meta.dirname, '..', '..');
const dir = mkdtempSync(join(tmpdir(), 'mendflow stack '));
const file = join(dir, 'a.log');

beforeAll(() => {
  chmodSync(dir, 0o755); // As root Postgres runs as another user, who has to get in.
  const line = (n: number): string => `2026-11-21T10:00:00Z ${n % 3 === 0 ? 'NOPE' : 'INFO'} [mod] message ${n}\n`;
  writeFileSync(file, Array.from({ length: 3_000 }, (_none, n) => line(n)).join(''));
});
afterAll(async () => {
  await mendflow('stack', 'down');
  rmSync(dir, { recursive: true, force: true });
}, 90_000);

const mendflow = async (...argv: string[]): Promise<{ code: number | null; out: string; err: string }> => {
  const env = { PATH: process.env['PATH'] ?? '', MENDFLOW_DIR: join(dir, '.mendflow'), MENDFLOW_ACTOR: 'anna' };
  const cache = process.env['MENDFLOW_CACHE'];
  const cli = process.env['TEMPORAL_CLI'];
  const child = spawn(process.execPath, [join(repository, 'dist', 'client.js'), ...argv], {
    cwd: dir,
    env: {
      ...env,
      ...(cache === undefined ? {} : { MENDFLOW_CACHE: cache }),
      ...(cli === undefined ? {} : { TEMPORAL_CLI: cli }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (part: Buffer) => (out += part.toString()));
  child.stderr.on('data', (part: Buffer) => (err += part.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
};
/** As the power cut does. */
async function kill(server: 'postgres' | 'temporal'): Promise<void> {
  const status = async () => (await stackStatus({ dir: join(dir, '.mendflow') }))[server];
  process.kill((await status()).pid!, 'SIGKILL');
  const gone = async () => (await status()).state;
  await expect.poll(gone, { timeout: 20_000 }).toBe('down');
}
/** Runs that the Web UI finds behind each link of `mendflow views`, by its name. */
async function found(): Promise<Record<string, number>> {
  const views = JSON.parse((await mendflow('views', '--json')).out) as { name: string; link: string }[];
  const counts = views.map(async ({ name, link }) => {
    expect(await (await fetch(link)).text()).toContain('<html');
    // The page asks its own server for this.
    const answer = await fetch(link.replace('/namespaces/', '/api/v1/namespaces/'));
    expect(answer.status, link).toBe(200);
    return [name, ((await answer.json()) as { executions?: object[] }).executions?.length ?? 0] as const;
  });
  return Object.fromEntries(await Promise.all(counts));
}
const json = (ran: { out: string }): Record<string, unknown> => JSON.parse(ran.out) as Record<string, unknown>;

describe('mendflow stack', { timeout: 180_000 }, () => {
  it('is down at first, and everything says how to start it', async () => {
    expect(await mendflow('stack', 'status')).toMatchObject({
      code: 1,
      out: expect.stringMatching(/is down\.\n {2}Start it with `mendflow stack up`/) as string,
    });
    expect(await mendflow('start', 'log-ingest', '--set', `path=${file}`, '--set', 'format=plain')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/mendflow stack up/) as string,
    });
  });

  it('comes up, works a run whose figures are the ledger’s, and its doctor finds all well', async () => {
    const up = await mendflow('stack', 'up', '--no-restart', '--json');
    expect(up, up.err).toMatchObject({ code: 0 });
    expect(json(up)).toMatchObject({
      state: 'up',
      postgres: { state: 'up' },
      temporal: { state: 'up' },
      workers: [{ name: 'worker-1', alive: true }],
    });
    const ran = await mendflow(
      'start',
      'log-ingest',
      '--date',
      '2026-11-21',
      '--set',
      `path=${file}`,
      '--set',
      'format=plain',
      '--wait',
      '--json',
    );
    // A third of the lines is bad, which is more than the stage allows, so the run asks.
    expect(ran, ran.err).toMatchObject({ code: 3 });
    expect(json(ran)).toMatchObject({
      state: 'asking',
      asks: [{ stage: 'ingest[a.log]', code: 'quarantine_limit' }],
      links: {
        ui: expect.stringMatching(
          /^http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/log-ingest%2F2026-11-21%2Fa\.log-/,
        ) as string,
      },
    });
    const letters = await mendflow('letters', 'list', '--json');
    expect(JSON.parse(letters.out)).toContainEqual(expect.objectContaining({ line: 1, sample: true }));
    const [letter] = JSON.parse(letters.out) as { id: string }[];
    expect((await mendflow('letters', 'show', letter!.id)).out).toContain(
      '\n2026-11-21T10:00:00Z NOPE [mod] message 0\n',
    );
    expect(await found()).toMatchObject({ asks: 1, 'waits or tries again': 0, 'under way': 1, 'all runs': 1 });
    const accepted = await mendflow('accept-loss', 'log-ingest', '--reason', 'known');
    expect(accepted, accepted.err).toMatchObject({ code: 0 });
    const doctor = await mendflow('doctor');
    expect(doctor, doctor.out).toMatchObject({ code: 0, err: '' });
    // The server's index of runs is a moment behind; the letters were samples, and are closed.
    await expect
      .poll(found, { timeout: 20_000 })
      .toMatchObject({ asks: 0, 'under way': 0, 'has dead letters': 0, 'all runs': 1 });
    expect((await mendflow('logs', 'log-ingest', '--worker')).out).toMatch(
      /worker-1 {2}\d{4}-.* (warn|error) .*quarantine_limit/,
    );
  });

  it('reads and steers breakers while Temporal is dead, and says of all else what brings it back', async () => {
    await kill('temporal');
    expect(await mendflow('runs')).toMatchObject({ code: 0, out: expect.stringContaining('log-ingest') as string });
    expect(await mendflow('last-night')).toMatchObject({ code: 0, err: '' });
    expect(await mendflow('breakers', 'list')).toMatchObject({ code: 0, err: '' });
    expect(await mendflow('breakers', 'force-open', 'main_api', '--for', '5s', '--reason', 'x')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Done: http:main_api is forced open/) as string,
    });
    const dead = expect.stringMatching(
      /^The Temporal server of the stack in .* does not run\. Nothing was changed\..* `mendflow stack up`/,
    ) as string;
    expect(await mendflow('start', 'log-ingest', '--set', `path=${file}`, '--set', 'format=plain')).toMatchObject({
      code: 8,
      err: dead,
    });
    expect(await mendflow('retry', 'log-ingest', '--reason', 'x')).toMatchObject({ code: 8, err: dead });
    const { checks } = json(await mendflow('doctor', '--json')) as { checks: { name: string; state: string }[] };
    expect(checks).toContainEqual(expect.objectContaining({ name: 'Temporal', state: 'wrong', says: dead }));
    expect(checks).toContainEqual(expect.objectContaining({ name: 'Postgres', state: 'ok' }));
  });

  it('says at the start of a run that the workers are dead', async () => {
    expect(await mendflow('stack', 'up', '--no-restart')).toMatchObject({ code: 0 });
    const queue = async () => {
      const { checks } = json(await mendflow('doctor', '--json')) as { checks: { name: string; state: string }[] };
      return checks.find(({ name }) => name === 'Queue mendflow')?.state;
    };
    await expect.poll(queue, { timeout: 90_000 }).toBe('ok');
    const workers = async () => (await stackStatus({ dir: join(dir, '.mendflow') })).workers;
    process.kill((await workers())[0]!.pid, 'SIGKILL');
    await expect.poll(workers, { timeout: 20_000 }).toMatchObject([{ alive: false }]);
    // The server lists the worker for minutes.
    const argv = ['--date', '2026-11-19', '--set', `path=${file}`, '--set', 'format=plain'];
    expect(await mendflow('start', 'log-ingest', ...argv)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Started log-ingest/) as string,
      err: expect.stringMatching(
        /^No worker polls the queue "mendflow", so the run waits .* `mendflow stack up`/,
      ) as string,
    });
    expect(await queue()).toBe('wrong');
  });

  it('says of a dead database what brings it back, and `up` does', async () => {
    await kill('postgres');
    const dead = expect.stringMatching(
      /^Postgres of the stack in .* does not run\. Nothing was changed\..* `mendflow stack up`/,
    ) as string;
    expect(await mendflow('breakers', 'list')).toMatchObject({ code: 8, err: dead });
    expect(await mendflow('start', 'log-ingest', '--set', `path=${file}`, '--set', 'format=plain')).toMatchObject({
      code: 8,
      err: dead,
    });
    expect(await mendflow('upstreams')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^http:main_api {2}state unknown\n/) as string,
    });
    expect(await mendflow('stack', 'up', '--no-restart')).toMatchObject({ code: 0 });
    expect(await mendflow('last-night')).toMatchObject({ code: 0, err: '' });
  });

  it('goes down, and says what it ended', async () => {
    expect(await mendflow('stack', 'down')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Ended 3 processes; all data is kept in /) as string,
    });
    expect(await mendflow('stack', 'down')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Nothing was running/) as string,
    });
  });
});
